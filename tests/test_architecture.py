"""The shape of the package: rooms that import only those before them, a quick first import, files of one idea each."""

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from rooms import FILES, LIBRARY, PAGE, ROOMS, TREES, arrows, figures, imported, ours, room, with_picture

# Figures draw plain data: numbers, spectra, and the records that training runs leave.
FIGURES_KNOW = {"errors", "budget", "masks", "analysis"}
PLAIN_RECORDS = (
    {"shira_lab.training.history", "shira_lab.course.speed.growth"}
    | {f"shira_lab.course.comparison.{name}" for name in ("measures", "records", "results")}
    | {f"shira_lab.course.fusion.{name}" for name in ("records", "results")}
)

SLOW_TO_IMPORT = {"IPython", "ipywidgets", "peft", "plotly", "sympy", "torch._dynamo", "transformers"}
MAX_LINES = 300

# What there is to read may shrink: lower a number when it has. Only an example in a docstring may raise one.
CEILINGS: dict[str, int] = {
    "files from config to saved file": 21,
    "lines from config to saved file": 3209,
    "files in a forward pass": 5,
    "lines of the library's rooms": 8324,
}

every_module = pytest.mark.parametrize("module", FILES)


def test_the_rooms_are_the_names_under_the_package() -> None:
    assert {room(module) for module in FILES} - {"face"} == set(ROOMS)


def test_a_room_imports_only_the_rooms_before_it_so_no_two_import_each_other() -> None:
    for name, others in arrows().items():
        known = ROOMS[: ROOMS.index(name)] if name in ROOMS else ROOMS
        above = {other: modules for other, modules in others.items() if other not in known}
        assert not above, f"{name} imports rooms that stand after it: {above}"


def test_the_library_knows_nothing_of_the_course() -> None:
    assert not [name for name in ["face", *LIBRARY] if {"training", "course", "cli"} & arrows().get(name, {}).keys()]


def test_the_picture_of_the_rooms_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_picture(page), "call `make rooms`, which draws the picture in CONTRIBUTING.md again"


def test_what_there_is_to_read_only_shrinks() -> None:
    grown = {name: number for name, number in figures().items() if number > CEILINGS[name]}
    assert not grown, f"{grown} is above {CEILINGS}"


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
