"""The shape of the package: rooms that import only those before them, a quick first import, files of one idea each."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the ground up: a room imports itself and those before it. Their names are folders or files of shira_lab.
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
# Figures draw plain data: numbers, spectra, and the records that training runs leave.
FIGURES_KNOW = {"errors", "budget", "masks", "analysis"}
PLAIN_RECORDS = (
    {"shira_lab.training.history", "shira_lab.course.speed.growth"}
    | {f"shira_lab.course.comparison.{name}" for name in ("measures", "records", "results")}
    | {f"shira_lab.course.fusion.{name}" for name in ("records", "results")}
)

SLOW_TO_IMPORT = {"IPython", "ipywidgets", "peft", "plotly", "transformers"}
MAX_LINES = 300

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "shira_lab").rglob("*.py"))
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}

every_module = pytest.mark.parametrize("module", FILES)


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
    """The part of the package a module belongs to: 'masks' for shira_lab.masks.random, 'face' for shira_lab."""
    return module.partition(".")[2].partition(".")[0] or "face"


def arrows() -> dict[str, dict[str, set[str]]]:
    """For each room the rooms that it imports, each with the modules that do."""
    found: dict[str, dict[str, set[str]]] = {}
    for module, tree in TREES.items():
        for other in ours(imported(ast.walk(tree))):
            if room(other) != room(module):
                found.setdefault(room(module), {}).setdefault(room(other), set()).add(module)
    return found


def test_the_rooms_are_the_names_under_the_package() -> None:
    assert {room(module) for module in FILES} - {"face"} == set(ROOMS)


def test_a_room_imports_only_the_rooms_before_it_so_no_two_import_each_other() -> None:
    for name, others in arrows().items():
        known = ROOMS[: ROOMS.index(name)] if name in ROOMS else ROOMS
        above = {other: modules for other, modules in others.items() if other not in known}
        assert not above, f"{name} imports rooms that stand after it: {above}"


def test_the_library_knows_nothing_of_the_course() -> None:
    library = [name for name in ROOMS if name not in ("training", "course", "cli")]
    assert not [name for name in ["face", *library] if {"training", "course", "cli"} & arrows().get(name, {}).keys()]


def test_no_two_modules_wait_for_each_other_at_import() -> None:
    TopologicalSorter({module: ours(imported(tree.body)) for module, tree in TREES.items()}).prepare()


@every_module
def test_imports_are_written_in_full(module: str) -> None:
    assert not [node for node in ast.walk(TREES[module]) if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize("module", [module for module in FILES if module.startswith("shira_lab.course.figures")])
def test_figures_know_plain_data_only(module: str) -> None:
    known = ours(imported(ast.walk(TREES[module]))) - PLAIN_RECORDS
    others = {other for other in known if not other.startswith("shira_lab.course.figures")}
    assert {room(other) for other in others} <= FIGURES_KNOW, others


@every_module
def test_no_module_imports_peft(module: str) -> None:
    assert "peft" not in {name.split(".")[0] for name in imported(ast.walk(TREES[module]))}


@every_module
def test_a_file_holds_one_idea(module: str) -> None:
    lines = FILES[module].read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES, f"{FILES[module].name} has {lines} lines: two ideas share a room"


@every_module
def test_a_module_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(TREES[module]), f"{module} opens without a docstring"


def imported_by(statement: str) -> set[str]:
    """What a fresh interpreter has imported after it ran the statement."""
    look = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_is_quick() -> None:
    assert not imported_by("import shira_lab") & SLOW_TO_IMPORT


def test_an_app_that_trains_nothing_waits_for_no_transformers() -> None:
    assert "transformers" not in imported_by(
        "from shira_lab.course.widgets import MaskExplorer, RankExplorer, UpdateView"
    )


@pytest.mark.parametrize("package", ["figures", "widgets"])
def test_each_name_that_a_package_offers_can_be_had(package: str) -> None:
    module = importlib.import_module(f"shira_lab.course.{package}")
    assert dir(module) and all(hasattr(module, name) for name in dir(module))
