"""A handout keeps solutions back, is whole or not there, and its tests tell right answers from wrong ones."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from shira_lab.cli import main
from shira_lab.course.exercises import EXERCISES, Exercise, mine_or_solution, shown, solution
from shira_lab.course.exercises.build.beside import Beside
from shira_lab.course.exercises.exercise import _MARKED
from shira_lab.course.handout.grade import grade_one
from shira_lab.course.handout.lesson import find_lessons
from shira_lab.course.handout.marking import hidden, visible
from shira_lab.course.handout.points import points_of
from shira_lab.errors import ConfigError, ShiraError

SEED = 7
#: What nbgrader and Otter-Grader take out of a sheet before they release it.
SOLUTIONS = re.compile(r"#+ BEGIN SOLUTION.*?#+ END SOLUTION", re.DOTALL)
LESSONS = find_lessons(["all"])
every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)


def made(code: str, exercise: Exercise) -> Any:
    """What the code makes of the exercise, among the names of the exercise's module."""
    names = dict(vars(sys.modules[exercise.solution.__module__]))
    exec(code, names)
    return names[exercise.name]


def earned(answer: Any) -> tuple[bool, bool]:
    """Whether the answer passes the visible and the hidden test."""
    outcomes = []
    for test in (lambda: visible(answer), lambda: hidden(answer, SEED)):
        try:
            test()
            outcomes.append(True)
        except AssertionError:
            outcomes.append(False)
    return outcomes[0], outcomes[1]


@pytest.fixture(scope="module")
def handouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All lessons in each format."""
    folder = tmp_path_factory.mktemp("handouts")
    for format_ in ("plain", "nbgrader", "otter"):
        assert main(["handout", "all", "--format", format_, "--seed", str(SEED), "--out", str(folder / format_)]) == 0
    return folder


def outcomes(path: Path, with_solutions: bool) -> list[bool]:
    """Whether each test of a sheet passes, its cells run in order as nbgrader and Otter-Grader run them."""
    names, passed = {"__name__": "sheet"}, list[bool]()
    for cell in nbformat.read(path, as_version=4).cells:
        code = cell.source if with_solutions else SOLUTIONS.sub("", cell.source)
        if cell.cell_type != "code" or code.startswith("check("):
            continue
        try:
            exec(code, names)
            passed += [True] * ("handout.marking" in code)
        except AssertionError:
            passed.append(False)
    return passed


@every_lesson
def test_a_sheet_with_solutions_passes_all_of_its_tests(lesson: Any, handouts: Path) -> None:
    path = handouts / "nbgrader" / "source" / lesson.name / lesson.path.name
    assert outcomes(path, with_solutions=True) == [True, True] * len(lesson.tasks)


@every_lesson
def test_a_sheet_with_stubs_passes_none_of_its_tests(lesson: Any, handouts: Path) -> None:
    path = handouts / "otter" / "otter" / lesson.name / lesson.path.name
    assert outcomes(path, with_solutions=False) == [False, False] * len(lesson.tasks)


@pytest.mark.parametrize("name", ["ShiraLinear", "SparseWeightGrad", "LoraLinear"])
def test_a_class_without_a_method_gets_nothing_and_stops_no_test(name: str) -> None:
    head = EXERCISES[name].stub.splitlines()[0]
    assert earned(made(f"{head}\n    pass", EXERCISES[name])) == (False, False)


@pytest.mark.parametrize("name", ["compare_seeds", "own_masks", "fair_ratio", "inject"])
def test_an_answer_with_one_line_of_the_stub_gets_less_than_all(name: str) -> None:
    """A sample; `make graders` hands in all of them."""
    nearly = [earned(made(code, EXERCISES[name])) for code in EXERCISES[name].nearly]
    assert nearly and (True, True) not in nearly


def test_an_answer_that_is_right_but_breaks_a_promise_gets_the_hidden_points_alone() -> None:
    right = EXERCISES["unload"].answer
    assert "copy.deepcopy(base)" in right
    assert earned(made(right.replace("copy.deepcopy(base)", "base"), EXERCISES["unload"])) == (False, True)


def test_an_answer_for_the_inputs_of_the_check_alone_gets_the_visible_points_alone() -> None:
    exercise = EXERCISES["largest_r"]
    right = exercise.solution

    def largest_r(shapes: Any, max_bytes: int) -> int:
        return (
            right(shapes, max_bytes) if max_bytes in (10_000_000, 40_000_000, 999_999, 442_368, 442_367, 10**9) else 1
        )

    assert earned(largest_r) == (True, False)


def test_a_step_is_judged_alone_where_an_earlier_one_is_wrong() -> None:
    names = dict(vars(sys.modules[EXERCISES["inject"].solution.__module__]))
    exec(EXERCISES["ShiraLinear"].stub, names)
    wrong = names["ShiraLinear"]
    exec(EXERCISES["inject"].answer, names)
    assert earned(names["inject"]) == (True, True)
    assert names["ShiraLinear"] is wrong


@every_exercise
def test_points_come_from_difficulty_and_minutes(exercise: Exercise) -> None:
    seen, secret = points_of(exercise)
    assert seen >= secret >= 1
    assert seen + secret == {"easy": 2, "medium": 3, "hard": 4}[exercise.difficulty] * -(-exercise.minutes // 5)


def texts(path: Path) -> str:
    """All that a notebook holds, its stored outputs too."""
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False)


@every_lesson
def test_learners_get_no_line_that_they_have_to_find(lesson: Any, handouts: Path) -> None:
    folder = handouts / "plain" / "learners"
    given = "".join(texts(folder / kind / lesson.path.name) for kind in ("lessons", "exercises"))
    stubs = "".join(task.exercise.stub for task in lesson.tasks)
    for task in lesson.tasks:
        for line in task.exercise._source().splitlines():
            if (marked := _MARKED.fullmatch(line)) and marked["code"] not in stubs and len(line) > 40:
                assert json.dumps(marked["code"])[1:-1] not in given, task.exercise.name


@every_lesson
def test_a_learners_lesson_has_no_output_of_a_cell_with_an_answer(lesson: Any, handouts: Path) -> None:
    cells = nbformat.read(handouts / "plain" / "learners" / "lessons" / lesson.path.name, as_version=4).cells
    for task in lesson.tasks:
        checked = [cell for cell in cells if cell.source.endswith(f"check({task.exercise.name})")]
        assert checked and not any(cell.outputs for cell in checked)
    assert any(cell.get("outputs") for cell in cells), "what no answer had a part in stays"


@every_lesson
def test_the_teacher_has_notes_solutions_and_what_the_checks_say(lesson: Any, handouts: Path) -> None:
    cells = nbformat.read(handouts / "otter" / "teacher" / "lessons" / lesson.path.name, as_version=4).cells
    assert cells[0].source.startswith(f"# Lesson {int(lesson.name[:2])}: notes for teachers\n")
    assert all(f"| `{task.exercise.name}` | {task.exercise.difficulty} |" in cells[0].source for task in lesson.tasks)
    for task in lesson.tasks:
        assert any(cell.source == task.exercise.answer for cell in cells)
        [checked] = [cell for cell in cells if cell.source.endswith(f"check({task.exercise.name})")]
        assert checked.outputs[0].data["text/plain"].startswith("Well done! ")


@every_lesson
def test_a_sheet_runs_by_itself_up_to_its_first_answer(lesson: Any, handouts: Path) -> None:
    cells = nbformat.read(handouts / "plain" / "learners" / "exercises" / lesson.path.name, as_version=4).cells
    names: dict[str, Any] = {"__name__": "sheet"}
    for cell in cells:
        if cell.cell_type == "code" and not cell.source.startswith("check("):
            exec(cell.source, names)
    assert {task.exercise.name for task in lesson.tasks} <= names.keys()


def test_the_seed_is_the_teachers_alone(handouts: Path) -> None:
    for format_ in ("plain", "nbgrader", "otter"):
        assert json.loads((handouts / format_ / "teacher" / "marking.json").read_text())["seed"] == SEED
        assert not [
            path for path in (handouts / format_ / "learners").rglob("*.ipynb") if f"seed={SEED})" in texts(path)
        ]


def test_a_folder_with_something_in_it_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["handout", "1", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path} is not empty: name a folder that is not there yet. Nothing was written." in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_lesson_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["handout", "1", "13", "--out", str(tmp_path / "out")]) == 2
    assert "There is no lesson '13'; there are 01-start-here, 02-masks, " in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*arguments: Any) -> None:
        raise ShiraError("the notes are gone")

    monkeypatch.setattr("shira_lab.course.handout.write.notes_of", stops)
    assert main(["handout", "1", "--out", str(tmp_path / "out")]) == 2
    assert not any(tmp_path.iterdir())


def test_names_and_numbers_name_the_same_lesson() -> None:
    assert {lesson.name for name in ("1", "01", "01-start-here") for lesson in find_lessons([name])} == {
        "01-start-here"
    }


def test_solutions_are_kept_back_where_the_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert solution("fewest")
    (tmp_path / shown.FILE).write_text(shown.FILE_SAYS)
    with pytest.raises(ShiraError, match=r"The solution of fewest is kept back here; `check\(fewest\)` says what"):
        solution("fewest")
    monkeypatch.setenv(shown.VARIABLE, "shown")
    assert solution("fewest")
    monkeypatch.setenv(shown.VARIABLE, "hidden")
    with pytest.raises(ConfigError, match=r"SHIRA_LAB_SOLUTIONS is 'hidden'; set it to 'kept' or 'shown', or not"):
        solution("fewest")


def test_a_lesson_goes_on_with_a_solution_that_it_does_not_show(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = made(EXERCISES["add_sparse"].stub, EXERCISES["add_sparse"])
    monkeypatch.setenv(shown.VARIABLE, "shown")
    mine_or_solution(stub)
    monkeypatch.setenv(shown.VARIABLE, "kept")
    capsys.readouterr()
    taken = mine_or_solution(stub)
    assert capsys.readouterr().out == "On with the solution of add_sparse.\n"
    assert earned(taken)[0]
    page = Beside((taken, stub))
    assert "weight.put" not in repr(page) + page._repr_html_()


def test_an_answer_that_never_ends_costs_its_own_points_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel, as all hand-ins are marked: beside answers that are right or missing."""
    monkeypatch.setattr("shira_lab.course.handout.grade.TEST_SECONDS", 2)
    endless = "def rank_bound(mask):\n    print('looking')\n    while True:\n        pass"
    right = EXERCISES["repaired_magnitude"].answer.replace("    mask =", "    print('[')\n    mask =")
    codes = ["import torch", endless, right, "1 / 0"]
    sheet = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, codes), nbformat.v4.new_raw_cell("1")])
    nbformat.write(sheet, tmp_path / "ada.ipynb")
    marks = grade_one(
        tmp_path / "ada.ipynb", {"rank_bound": (1, 1), "repaired_magnitude": (4, 2), "full_rank": (1, 1)}, 7
    )
    assert marks.points == {"rank_bound": 0, "repaired_magnitude": 6, "full_rank": 0}
    assert marks.said == {"rank_bound": "did not end within 2 seconds.", "full_rank": "full_rank is missing."}


def test_a_damaged_sheet_gets_no_points_and_ends_nothing(
    handouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marking = handouts / "plain" / "teacher" / "marking.json"
    (tmp_path / "dan.ipynb").write_text("{")
    asked = ["grade", str(tmp_path), "--lesson", "4", "--marking", str(marking), "--out", str(tmp_path / "grades.csv")]
    assert main(asked) == 0
    assert capsys.readouterr().out == "dan: 0\n  file: could not be marked: NotJSONError\n"
    assert (tmp_path / "grades.csv").read_text().splitlines()[1].startswith("dan,0,0,0,file: ")


def test_marking_without_the_handouts_own_file_is_refused(
    handouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "marking.json").write_text("{}")
    assert main(["grade", str(tmp_path), "--lesson", "4", "--marking", str(tmp_path / "marking.json")]) == 2
    assert "has no points for lesson 04-rank: take the file of its handout." in capsys.readouterr().err
