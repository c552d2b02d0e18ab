"""A learner's progress stays, is the learner's own, and ends no lesson; a class's files make one page."""

import csv
import io
import json
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from shira_lab.cli import main
from shira_lab.course import progress
from shira_lab.course.classroom import as_csv, as_page, collect, hints, wrong_predictions
from shira_lab.course.exercises import EXERCISES, check
from shira_lab.course.progress import Check, Prediction, Progress, kept, read
from shira_lab.course.standing import YourProgress, contents, minutes
from shira_lab.course.widgets import Prediction as Asked
from shira_lab.errors import StorageError

FIRST = "01-start-here"
QUESTION = contents()[FIRST].questions[0]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The learner's file, in a folder that is not there yet."""
    path = tmp_path / "data" / "progress.json"
    monkeypatch.setenv(progress.VARIABLE, str(path))
    return path


def asked() -> Asked:
    return Asked(QUESTION, {"about 8": "One.", "all 192": "Two."})


def commit(guess: Asked, option: str) -> None:
    guess.choices.value = option
    guess.commit_button.click()


def test_checks_and_predictions_are_kept_in_one_readable_file(mine: Path) -> None:
    verdict = check(EXERCISES["fewest"].solution)
    guess = asked()
    commit(guess, "about 8")
    guess.compare("all 192")
    [one], [two] = kept().checks, kept().predictions
    assert (one.exercise, one.passed, one.said) == ("fewest", True, verdict.message)
    assert (two.question, two.committed, two.answer, two.right) == (QUESTION, "about 8", "all 192", False)
    assert json.loads(mine.read_text())["about"].endswith("Delete this file to forget it.")


def test_a_prediction_is_there_again_when_the_lid_was_closed(mine: Path) -> None:
    commit(asked(), "about 8")
    again = asked()
    assert again.committed == "about 8" and again.choices.disabled
    assert Asked(QUESTION, {"other": "Options of another version."}).committed == ""


def test_what_was_predicted_first_stays(mine: Path) -> None:
    for said in ("about 8", "all 192"):
        progress.keep_prediction(QUESTION, said, "")
    progress.keep_prediction(QUESTION, "all 192", "all 192")
    assert [(one.committed, one.answer) for one in kept().predictions] == [("about 8", "all 192")]


def test_nothing_is_kept_where_it_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(progress.VARIABLE, progress.OFF)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    check(EXERCISES["fewest"].solution)
    assert kept() == Progress() and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("system", "variable", "rest"),
    [("linux", "XDG_DATA_HOME", "shira-lab"), ("win32", "LOCALAPPDATA", "shira-lab"), ("darwin", "HOME", "Library")],
)
def test_the_file_lies_where_the_system_keeps_such_files(
    system: str, variable: str, rest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(progress.VARIABLE)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setenv(variable, str(tmp_path))
    path = progress.file()
    assert path and path.is_relative_to(tmp_path / rest) and path.parts[-2:] == ("shira-lab", "progress.json")


def test_two_writers_at_once_lose_nothing(mine: Path) -> None:
    """The lock is the file's, so kernels of their own wait for each other as these threads do."""
    with ThreadPoolExecutor(2) as writers:
        list(writers.map(lambda number: progress.keep_check("fewest", False, str(number)), range(30)))
    assert sorted(int(one.said) for one in kept().checks) == [*range(30)]


DAMAGED = {
    "cut off": '{"checks": [',
    "no object": "[1]",
    "a list is missing": '{"checks": []}',
    "an entry lacks a field": '{"checks": [{"at": "2026-01-01T00:00:00"}], "predictions": []}',
    "a field of another kind": json.dumps(
        {"checks": [{"at": "2026-01-01", "exercise": "fewest", "passed": "yes", "said": ""}], "predictions": []}
    ),
    "no time": json.dumps({"checks": [], "predictions": [{"at": "noon", "question": "", "committed": ""}]}),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_set_aside_and_said(content: str, mine: Path) -> None:
    mine.parent.mkdir()
    mine.write_text(content)
    with pytest.raises(StorageError):
        read(mine)
    assert asked().committed == ""
    with pytest.warns(UserWarning, match=r"It is set aside as .*progress\.damaged-.*\.json, and a new one is begun\."):
        progress.keep_check("fewest", True, "")
    assert len(kept().checks) == 1
    [aside] = mine.parent.glob("*.damaged-*")
    assert aside.read_text() == content


def test_a_lesson_goes_on_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "file" / "progress.json"))
    with pytest.warns(UserWarning, match=r"Your progress is not kept: .* Set SHIRA_LAB_PROGRESS to another path"):
        assert check(EXERCISES["fewest"].solution).passed


def test_every_exercise_and_question_belongs_to_one_lesson() -> None:
    exercises = [name for asked in contents().values() for name in asked.exercises]
    questions = [question for asked in contents().values() for question in asked.questions]
    assert len(exercises) == len({*exercises}) and {*exercises} <= EXERCISES.keys()
    assert len(questions) == len({*questions}) and all(asked.questions for asked in contents().values())


def test_a_break_counts_as_ten_minutes() -> None:
    assert minutes([]) == 0
    assert minutes(["2026-01-01T10:00:00", "2026-01-01T10:04:00", "2026-01-02T10:00:00", "2026-01-02T10:03:00"]) == 17


def test_the_last_cell_shows_the_lesson(mine: Path) -> None:
    card = YourProgress(1)
    assert "not tried yet" in card._html() and "no prediction" in card._html()
    check(EXERCISES["full_rank"].solution)
    commit(guess := asked(), "about 8")
    guess.compare("all 192")
    shown = card._repr_mimebundle_()
    assert shown["text/plain"] == "Your progress in 01-start-here"
    assert "passed, 1 check" in shown["text/html"] and "wrong: about 8 (it is all 192)" in shown["text/html"]
    assert str(mine) in shown["text/html"]


def test_the_command_shows_all_lessons_and_hands_in_a_copy(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handin = tmp_path / "ada.json"
    assert main(["progress", "--hand-in", str(handin)]) == 2
    assert "There is nothing to hand in yet" in capsys.readouterr().err
    check(EXERCISES["full_rank"].solution)
    assert main(["progress", "--hand-in", str(handin)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[1].split("  ")[0] == FIRST and str(mine) in said and read(handin) == kept()
    assert main(["progress", "--hand-in", str(handin)]) == 2
    assert "is there already: name another file. Nothing was written." in capsys.readouterr().err


def handed_in(folder: Path, name: str, content: Progress) -> None:
    (folder / f"{name}.json").write_text(json.dumps(asdict(content)))


@pytest.fixture
def class_of(tmp_path: Path) -> Path:
    """Ada passed, Ben did not, Cy did nothing, Dan's file is damaged, and Eve's names something unknown."""
    at, folder = "2026-01-01T10:00:00+00:00", tmp_path / "handed-in"
    folder.mkdir()
    predicted = [Prediction(at, QUESTION, "about 8", "all 192")]
    hint = "The budget is 3,072 ones; your mask has {}."
    handed_in(
        folder, "ada", Progress([Check(at, "full_rank", False, hint.format(9)), Check(at, "full_rank", True, "")])
    )
    handed_in(folder, "ben", Progress([Check(at, "full_rank", False, hint.format(n)) for n in (7, 8)], predicted))
    handed_in(folder, "cy", Progress())
    (folder / "dan.json").write_text("{")
    handed_in(folder, "<eve>", Progress([Check(at, "full_rang", True, "")], predicted))
    return folder


def test_the_class_says_who_passed_what(class_of: Path) -> None:
    rows = {row["learner"]: row for row in csv.DictReader(io.StringIO(as_csv(collect(class_of))))}
    assert {name: row["full_rank"] for name, row in rows.items()} == {
        "ada": "passed",
        "ben": "tried",
        "cy": "",
        "<eve>": "",
    }
    assert rows["ben"]["predictions"] == "1" and rows["ben"]["right predictions"] == "0"


def test_the_class_says_what_was_predicted_wrongly_and_which_hint_came_most(class_of: Path) -> None:
    learners = collect(class_of)
    assert wrong_predictions(learners) == [(QUESTION, "about 8", "2", "all 192")]
    assert hints(learners) == [("full_rank", "The budget is 3,072 ones; your mask has 9.", "2", "3")]


def test_damaged_files_and_wrong_names_are_listed_and_end_nothing(
    class_of: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["progress", "--collect", str(class_of), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "dan.json is not valid JSON" in said and "<eve>.json: no lesson knows 'full_rang'" in said
    page = (out / "class.html").read_text(encoding="utf-8")
    assert page == as_page(collect(class_of)) and "&lt;eve&gt;" in page and "<eve>" not in page
    assert "4 learners" in said and "dan.json" in page and "http" not in page
    assert (out / "class.csv").is_file()


def test_a_folder_without_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["progress", "--collect", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert f"There is no .json file in {tmp_path}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tests_write_into_no_learners_file() -> None:
    with warnings.catch_warnings(action="error"):
        assert progress.file() is None
