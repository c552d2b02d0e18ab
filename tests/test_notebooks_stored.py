"""What lies in notebooks/ is what a learner should meet: executed, light, and free of traces of one machine.

A notebook that was never executed passes any comparison of outputs, as there is nothing to compare; hence this guard.
"""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
MAX_BYTES = 1_000_000
LOCAL_TRACES = re.compile(r"(?<![\w.~/])/(?:root|home|work|tmp|Users)/|[?&]token=|hf_[A-Za-z]{30,}")
PICTURES = {"image/png", "image/svg+xml", "application/vnd.jupyter.widget-view+json"}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(path: Path) -> list[NotebookNode]:
    return [output for cell in code_cells(path) for output in cell.outputs]


def test_there_is_a_first_lesson() -> None:
    assert NOTEBOOKS and NOTEBOOKS[0].name == "01-start-here.ipynb"


@every_notebook
def test_every_cell_was_run_once_from_top_to_bottom(path: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "run `python scripts/store_notebooks.py`"


@every_notebook
def test_no_cell_ended_in_an_error_or_a_warning(path: Path) -> None:
    assert not [output for output in outputs(path) if output.output_type == "error" or output.get("name") == "stderr"]


@every_notebook
def test_every_cell_has_an_id(path: Path) -> None:
    ids = [cell.get("id") for cell in read(path).cells]
    assert all(ids) and len(set(ids)) == len(ids)


@every_notebook
def test_no_widget_state_is_stored(path: Path) -> None:
    assert "widgets" not in read(path).metadata


@every_notebook
def test_a_notebook_is_light(path: Path) -> None:
    assert path.stat().st_size < MAX_BYTES


@every_notebook
def test_no_path_or_token_of_one_machine_is_stored(path: Path) -> None:
    assert not LOCAL_TRACES.findall(path.read_text(encoding="utf-8"))


@every_notebook
def test_every_picture_has_a_text_that_says_the_same(path: Path) -> None:
    bundles = [set(output.data) for output in outputs(path) if "data" in output]
    assert not [bundle for bundle in bundles if bundle & PICTURES and "text/plain" not in bundle]
