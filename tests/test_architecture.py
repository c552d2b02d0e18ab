"""The shape of the package: floors that import only downwards, a quick first import, files of one idea each."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the ground up: a module imports its own floor and those below. "face" is shira_lab itself.
FLOORS = [
    set(rooms.split())
    for rooms in (
        "arguments errors files logs machine",
        "budget combine costs interference masks overview rank spectrum",
        "adapters calibration choices config layers model storage",
        "architectures comparison download embedded face fusion hub speed training worlds",
        "figures",
        "report widgets",
        "exercises",
        "cli",
    )
]
# Figures draw plain data: numbers, spectra, and the records that training runs leave.
FIGURES_KNOW = FLOORS[0] | FLOORS[1] | {"figures"}
PLAIN_RECORDS = (
    {"shira_lab.training.history"}
    | {f"shira_lab.comparison.{name}" for name in ("measures", "records", "results")}
    | {f"shira_lab.fusion.{name}" for name in ("records", "results")}
    | {"shira_lab.speed.growth"}
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
    """The part of the package a module belongs to: 'masks' for shira_lab.masks.random."""
    return module.partition(".")[2].partition(".")[0] or "face"


def floor(module: str) -> int:
    numbers = [number for number, rooms in enumerate(FLOORS) if room(module) in rooms]
    assert numbers, f"{module} stands on no floor: give shira_lab/{room(module)} a place in FLOORS"
    return numbers[0]


@every_module
def test_a_module_imports_only_its_own_floor_and_those_below(module: str) -> None:
    above = {other for other in ours(imported(ast.walk(TREES[module]))) if floor(other) > floor(module)}
    assert not above, f"{module} imports {sorted(above)}, which stand above it"


def test_no_two_modules_wait_for_each_other_at_import() -> None:
    TopologicalSorter({module: ours(imported(tree.body)) for module, tree in TREES.items()}).prepare()


@every_module
def test_imports_are_written_in_full(module: str) -> None:
    assert not [node for node in ast.walk(TREES[module]) if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize("module", [module for module in FILES if room(module) == "figures"])
def test_figures_know_plain_data_only(module: str) -> None:
    known = ours(imported(ast.walk(TREES[module]))) - PLAIN_RECORDS
    assert {room(other) for other in known} <= FIGURES_KNOW


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
    assert "transformers" not in imported_by("from shira_lab.widgets import MaskExplorer, RankExplorer, UpdateView")


@pytest.mark.parametrize("package", ["figures", "widgets"])
def test_each_name_that_a_package_offers_can_be_had(package: str) -> None:
    module = importlib.import_module(f"shira_lab.{package}")
    assert dir(module) and all(hasattr(module, name) for name in dir(module))
