"""The rooms of the package: a picture of their arrows, read from its import statements, and how much there is to read.

`make rooms` writes the picture into CONTRIBUTING.md and prints it with the figures.
"""

import ast
import functools
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

import torch
from torch import nn

from shira_lab import ShiraConfig, get_peft_model

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "CONTRIBUTING.md"
START, END = "<!-- rooms: written by `make rooms` -->\n", "<!-- end of rooms -->\n"

#: From the ground up: a room imports itself and those before it. Their names are folders or files of shira_lab.
ROOMS = [
    "minimal",
    "errors",
    "budget",
    "masks",
    "layers",
    "adapters",
    "analysis",
    "models",
    "training",
    "course",
    "cli",
]
LIBRARY = [name for name in ROOMS if name not in ("training", "course", "cli")]

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "shira_lab").rglob("*.py"))
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """The modules that import statements name; `from a import b` names a.b where that is a module of ours."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}": str(node.module) for alias in node.names}
            found |= {inner if inner in FILES else outer for inner, outer in names.items()}
    return found


def ours(modules: Iterable[str]) -> set[str]:
    return {module for module in modules if module.split(".")[0] == "shira_lab"}


def room(module: str) -> str:
    """The part of the package a module belongs to: 'masks' for shira_lab.masks.positions, 'face' for shira_lab."""
    return module.partition(".")[2].partition(".")[0] or "face"


@functools.cache
def arrows() -> dict[str, dict[str, set[str]]]:
    """For each room the rooms that it imports, each with the modules that do."""
    found: dict[str, dict[str, set[str]]] = {}
    for module, tree in TREES.items():
        for other in ours(imported(ast.walk(tree))):
            if room(other) != room(module):
                found.setdefault(room(module), {}).setdefault(room(other), set()).add(module)
    return found


def picture() -> str:
    """The rooms as Mermaid text: an arrow goes from a room to each room that it imports."""
    lines = [f"    {name}" for name in ROOMS]
    lines += [f"    {name} --> {other}" for name in ROOMS for other in ROOMS if other in arrows().get(name, {})]
    return "\n".join(["```mermaid", "flowchart BT", *lines, "```", ""])


def entered(work: Callable[[], object]) -> set[str]:
    """The modules of ours in which a function runs while ``work`` does: what a reader who follows it has to open."""
    files = {str(path): module for module, path in FILES.items()}
    found: set[str] = set()

    def trace(frame: FrameType, event: str, _: object) -> None:
        if frame.f_code.co_name != "<module>" and frame.f_code.co_filename in files:
            found.add(files[frame.f_code.co_filename])

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return found


def lines(modules: Iterable[str]) -> int:
    return sum(FILES[module].read_text(encoding="utf-8").count("\n") for module in modules)


def figures() -> dict[str, int]:
    """How much there is to read: from a config to a saved file, through a forward pass, in the library.

    The first is a program: config, adapter on a model of two layers, forward, backward, file.
    """
    torch.manual_seed(0)
    x, models = torch.randn(3, 16), []

    def from_config_to_saved_file() -> None:
        config = ShiraConfig(r=2, target_modules=["0", "1"], random_seed=0)
        models.append(get_peft_model(nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16)), config))
        models[0](x).sum().backward()
        with tempfile.TemporaryDirectory() as folder:
            models[0].save_pretrained(folder)

    path = entered(from_config_to_saved_file)
    forward = entered(lambda: models[0](x))
    return {
        "files from config to saved file": len(path),
        "lines from config to saved file": lines(path),
        "files in a forward pass": len(forward),
        "lines of the library's rooms": lines(module for module in FILES if room(module) in LIBRARY),
    }


def with_picture(text: str) -> str:
    """The page's text with the picture between its markers."""
    before, _, rest = text.partition(START)
    return before + START + picture() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(with_picture(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(picture())
    for name, number in figures().items():
        print(f"{number:>7,} {name}")
