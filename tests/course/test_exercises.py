"""Exercises and predictions: a stub is told what is missing, and the lessons hold just the stub.

That each solution passes is held by test_handout.py.
"""

import sys
from pathlib import Path

import nbformat
import pytest

from shira_lab import ShiraError
from shira_lab.course.exercises import EXERCISES, Exercise, Verdict, check, solution
from shira_lab.course.widgets import Prediction
from shira_lab.course.widgets.prediction import WAITS
from shira_lab.errors import ConfigError

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))

every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def run(code: str, exercise: Exercise) -> object:
    """The function that this code makes of the exercise, among the names of the exercise's module."""
    names = dict(vars(sys.modules[exercise.solution.__module__]))
    exec(code, names)
    return names[exercise.name]


def defines(source: str, name: str) -> bool:
    return f"def {name}(" in source or f"class {name}(" in source


@every_exercise
def test_the_stub_fails_with_the_intended_message(exercise: Exercise) -> None:
    verdict = check(run(exercise.stub, exercise))
    assert not verdict.passed and verdict.message == exercise.stub_says


@every_exercise
def test_stub_and_solution_differ_and_bear_no_marks(exercise: Exercise) -> None:
    assert exercise.stub != exercise.answer
    assert "# stub:" not in exercise.stub + exercise.answer
    assert "# change this line" in exercise.stub


@every_notebook
def test_a_lesson_holds_its_exercises_as_stubs_under_their_headings(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    heading, found = "", 0
    for cell in cells:
        if cell.cell_type == "markdown":
            heading = next((line[3:] for line in cell.source.splitlines() if line.startswith("## ")), heading)
        elif "exercise" in cell.metadata.get("tags", []):
            exercise = next(e for e in EXERCISES.values() if defines(cell.source, e.name))
            assert cell.source == exercise.stub and heading.endswith(exercise.heading)
            found += 1
    assert found, "a lesson ends with an exercise"


def test_every_exercise_is_in_a_lesson() -> None:
    sources = "\n".join(cell.source for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells)
    assert [name for name in EXERCISES if not defines(sources, name)] == []


def test_an_error_in_an_answer_is_a_finding() -> None:
    def trainable_parameters() -> int:
        return 1 // 0

    verdict = check(trainable_parameters)
    assert repr(verdict) == "Not yet. Your function stopped with ZeroDivisionError: integer division or modulo by zero"


def test_a_function_that_no_exercise_asks_for_is_named() -> None:
    with pytest.raises(ShiraError, match=r"No exercise asks for a function named 'print'; there are full_rank, "):
        check(print)


def test_a_solution_can_be_read() -> None:
    assert repr(solution("trainable_parameters")).startswith("def trainable_parameters():\n    return 4 * 2 * 4")


def test_a_verdict_is_kept_with_all_its_pictures_and_no_widget() -> None:
    verdict = Verdict(False, "one <too> many.", {"yours": b"1", "expected": b"2"})
    bundle = verdict._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"} and bundle["text/plain"] == "Not yet. one <too> many."
    assert bundle["text/html"].count("<img ") == 2 and "one &lt;too&gt; many." in bundle["text/html"]


@pytest.fixture
def guess() -> Prediction:
    return Prediction("How many?", {"few": "They are <counted>.", "many": "There is room."})


def test_a_prediction_is_committed_to_once(guess: Prediction) -> None:
    guess.choices.value = "few"
    guess.commit_button.click()
    assert guess.committed == "few" and guess.choices.disabled and guess.commit_button.disabled


def test_a_prediction_without_a_choice_asks_for_one(guess: Prediction) -> None:
    guess.commit_button.click()
    assert guess.committed == "" and "Choose an answer first." in guess.status.value


def test_an_answer_waits_for_the_prediction_and_says_why(guess: Prediction) -> None:
    guess.compare("many")
    assert guess.status.value == "" and guess.reply.value == (
        f"<details><summary>{WAITS}</summary>The answer: many. There is room.</details>"
    )
    guess.committed = "few"
    said = "You predicted: few. They are &lt;counted&gt;. The answer: many. There is room."
    assert guess.reply.value == f"<p>{said}</p>" and said in guess.status.value


def test_a_prediction_waits_for_the_answer_and_is_praised(guess: Prediction) -> None:
    guess.committed = "many"
    assert "You predict: many. Run on, and see." in guess.status.value and guess.reply.value == ""
    guess.compare("many")
    assert "Well predicted. The answer: many. There is room." in guess.status.value


def test_a_prediction_that_is_no_option_is_refused(guess: Prediction) -> None:
    with pytest.raises(ConfigError, match=r"'none' is none of the options; there are 'few', 'many'\."):
        guess.compare("none")
    with pytest.raises(ConfigError, match=r"'none' is none of the options"):
        guess.committed = "none"
