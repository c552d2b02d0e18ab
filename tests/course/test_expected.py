"""A lesson says what it had expected of a run. (tests/browser/test_every_lesson.py stops the runs.)"""

from pathlib import Path

import nbformat
import pytest
from test_notebooks_stored import NOTEBOOKS, outputs

from shira_lab.course.expected import NOT_SO, expect


def test_what_holds_is_said_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    expect(True, "less is left")
    assert capsys.readouterr().out == "less is left\n"


def test_what_does_not_hold_is_said_too_with_what_may_be_behind_it(capsys: pytest.CaptureFixture[str]) -> None:
    expect(False, "less is left")
    assert capsys.readouterr().out == (
        "Not so here: less is left. The lesson expected it; a run that was stopped early can be the reason, or another "
        "setting.\n"
    )


def test_all_that_the_stored_lessons_expect_holds() -> None:
    said = [output.text for path in NOTEBOOKS for output in outputs(path) if output.output_type == "stream"]
    assert said and not [text for text in said if NOT_SO in text]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_assertion_of_a_lesson_says_what_it_wanted(path: Path) -> None:
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert not [line for source in code for line in source.splitlines() if line.strip().startswith("assert ")]
