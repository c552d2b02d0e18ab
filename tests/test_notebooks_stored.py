"""What lies in notebooks/ is what a learner should meet: executed, light, and free of traces of one machine.

A notebook that was never executed passes any comparison of outputs, as there is nothing to compare; hence this guard.
"""

import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from shira_lab.course.widgets.still import HINT

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LECTURES = sorted((ROOT / "dashboard").glob("*.ipynb"))
MAX_BYTES = 1_000_000
LOCAL_TRACES = re.compile(r"(?<![\w.~/])/(?:root|home|work|tmp|Users)/|[A-Z]:\\+Users\\|[?&]token=")
#: Tokens of the hub, of GitHub, of Amazon and of Google, and private keys.
SECRETS = re.compile(r"hf_[A-Za-z]{30,}|gh[pousr]_\w{30,}|AKIA[A-Z\d]{16}|AIza[\w-]{35}|-----BEGIN [A-Z ]*PRIVATE KEY")
PICTURES = {"image/png", "image/svg+xml", "application/vnd.jupyter.widget-view+json"}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(path: Path) -> list[NotebookNode]:
    return [output for cell in code_cells(path) for output in cell.outputs]


NUMBERS = (
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
)
READING = re.compile(rf"[Rr]eading takes ({'|'.join(NUMBERS)}) minutes")
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
#: The line under a heading for whoever opens the lesson there.
START = re.compile(r"^\*To start here, run the first cell and then: (.*)\.\*$", re.MULTILINE)
#: A table is looked up, not read.
TABLE = re.compile(r"^\|.*\|$", re.MULTILINE)
WORDS_A_MINUTE = 130  # read aloud


def words_to_read(path: Path) -> int:
    """In a lesson's prose, from the top. What is folded can be skipped, and exercises have minutes of their own."""
    prose = [
        TABLE.sub("", START.sub("", FOLDED.sub("", cell.source)))
        for cell in read(path).cells
        if cell.cell_type == "markdown"
    ]
    return sum(len(text.split()) for text in prose if "Your turn" not in text)


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
def test_a_formula_can_be_read_where_nothing_draws_it(path: Path) -> None:
    prose = "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    found = re.findall(r"\\[A-Za-z]+", "".join(re.findall(r"\$+[^$]+\$+", prose)))
    assert {*found} <= {rf"\{name}" for name in ("min", "max", "ln", "log")}


@every_notebook
def test_a_lesson_keeps_its_promise_of_minutes(path: Path) -> None:
    promised = READING.search(read(path).cells[0].source)
    assert promised, "say in the first cell how long reading takes"
    minutes = NUMBERS.index(promised[1]) + 4
    assert words_to_read(path) <= WORDS_A_MINUTE * minutes


@every_notebook
def test_what_is_folded_has_a_title_and_is_unfolded_again(path: Path) -> None:
    for cell in read(path).cells:
        assert cell.source.count("<details>") == len(FOLDED.findall(cell.source)) == cell.source.count("</summary>\n\n")


LINK = re.compile(r"^Next: .*\[.+\]\((.+\.ipynb)\)", re.MULTILINE)


@pytest.mark.parametrize(("path", "following"), [*pairwise(NOTEBOOKS)], ids=lambda path: path.stem)
def test_a_lesson_leads_to_the_next_one(path: Path, following: Path) -> None:
    ending = "\n".join([cell.source for cell in read(path).cells if cell.cell_type == "markdown"][-2:])
    assert LINK.findall(ending) == [following.name]


@every_notebook
def test_every_cell_has_an_id(path: Path) -> None:
    ids = [cell.get("id") for cell in read(path).cells]
    assert all(ids) and len(set(ids)) == len(ids)


@every_notebook
def test_no_widget_state_is_stored(path: Path) -> None:
    assert "widgets" not in read(path).metadata


@every_notebook
def test_a_stored_app_says_how_to_go_on_as_a_live_one_would(path: Path) -> None:
    html = [output.data.get("text/html", "") for output in outputs(path) if "data" in output]
    hints = re.findall(r'<div class="shira-still"><p><em>(.*?)</em>', "".join("".join(one) for one in html))
    assert hints and set(hints) <= {HINT, ""}


@every_notebook
def test_a_notebook_is_light(path: Path) -> None:
    assert path.stat().st_size < MAX_BYTES


@pytest.mark.parametrize("path", [*NOTEBOOKS, *LECTURES], ids=lambda path: path.stem)
def test_no_path_of_one_machine_and_no_secret_is_stored(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not LOCAL_TRACES.findall(text) and not SECRETS.findall(text)


def test_traces_and_secrets_would_be_found() -> None:
    for trace in ('"/home/ada/lab"', r"C:\\Users\\ada", "lab?token=0"):
        assert LOCAL_TRACES.search(trace), trace
    for secret in ("hf_" + "a" * 34, "ghp_" + "a" * 36, "AKIA" + "A" * 16, "-----BEGIN RSA PRIVATE KEY"):
        assert SECRETS.search(secret), secret


@every_notebook
def test_every_picture_has_a_text_that_says_the_same(path: Path) -> None:
    bundles = [set(output.data) for output in outputs(path) if "data" in output]
    assert not [bundle for bundle in bundles if bundle & PICTURES and "text/plain" not in bundle]
