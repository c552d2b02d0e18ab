"""Where a learner stands in each lesson: exercises, predictions and minutes, from what progress holds."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from html import escape
from itertools import pairwise
from typing import Any

from shira_lab.course.handout.lesson import Lesson
from shira_lab.course.language import tr
from shira_lab.course.lessons import lessons
from shira_lab.course.progress import Prediction, Progress, file, kept

#: Longer without a check or a prediction is a break, and counts as this many minutes.
BREAK = 10


@dataclass(frozen=True)
class Contents:
    """What a lesson asks for: its exercises, and the questions of its predictions."""

    exercises: list[str]
    questions: list[str]


@dataclass(frozen=True)
class Standing:
    """One learner in one lesson.

    Attributes:
        passed: each exercise that was tried, and whether one of its checks passed.
        tries: how many checks were called for each of them.
        minutes: from the first check or prediction to the last, breaks left out.
    """

    passed: dict[str, bool]
    tries: dict[str, int]
    predictions: list[Prediction]
    minutes: int


@cache
def contents() -> dict[str, Contents]:
    """What each lesson asks for, by its name, as its cells have it."""
    found = {}
    for lesson in map(Lesson, lessons()):
        cells = [cell.source for cell in lesson.notebook.cells if cell.cell_type == "code"]
        trees = [compile(cell, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT) for cell in cells]
        calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
        asked = [call.args[0] for call in calls if getattr(call.func, "id", "") == "Prediction"]
        questions = [str(one.value) for one in asked if isinstance(one, ast.Constant)]
        found[lesson.name] = Contents([task.exercise.name for task in lesson.tasks], questions)
    return found


def standing(progress: Progress, lesson: str) -> Standing:
    """What ``progress`` says about one lesson."""
    asked = contents()[lesson]
    checks = [check for check in progress.checks if check.exercise in asked.exercises]
    predictions = [one for one in progress.predictions if one.question in asked.questions]
    passed: dict[str, bool] = {}
    tries: dict[str, int] = {}
    for check in checks:
        passed[check.exercise] = passed.get(check.exercise, False) or check.passed
        tries[check.exercise] = tries.get(check.exercise, 0) + 1
    return Standing(passed, tries, predictions, minutes([one.at for one in checks] + [one.at for one in predictions]))


def minutes(times: Iterable[str]) -> int:
    """Minutes from the first of some times to the last, where no wait counts as more than :data:`BREAK`."""
    moments = sorted(map(datetime.fromisoformat, times))
    waits = ((after - before).total_seconds() / 60 for before, after in pairwise(moments))
    return round(sum(min(wait, BREAK) for wait in waits))


def in_words(progress: Progress) -> str:
    """A table of all lessons as text."""
    rows = [("lesson", "exercises", "predictions", "minutes")]
    for lesson, asked in contents().items():
        here = standing(progress, lesson)
        right = sum(one.right for one in here.predictions)
        done = f"{sum(here.passed.values())} of {len(asked.exercises)}"
        rows.append((lesson, done, f"{right} right of {len(here.predictions)}", str(here.minutes)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


class YourProgress:
    """The last cell of a lesson: ``YourProgress(1)`` shows what the learner did in it, and where that is kept."""

    def __init__(self, number: int) -> None:
        self.lesson = next(name for name in contents() if int(name.split("-")[0]) == number)

    def __repr__(self) -> str:
        return tr("Your progress in {lesson}", lesson=self.lesson)

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {"text/html": self._html(), "text/plain": repr(self)}

    def _html(self) -> str:
        asked, here, path = contents()[self.lesson], standing(kept(), self.lesson), file()
        rows = [(name, _exercise(here, name)) for name in asked.exercises]
        answers = {one.question: one for one in here.predictions}
        rows += [(tr(question), _prediction(answers.get(question))) for question in asked.questions]
        body = "".join(
            f'<tr><th scope="row" style="text-align:left;font-weight:normal">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(said)}</td></tr>'
            for name, said in rows
        )
        where = tr("Nothing is kept.")
        if path:
            where = tr("Kept in {path}, on this machine alone; delete the file to forget it.", path=path)
        spent = tr("{minutes} minutes", minutes=here.minutes)
        caption = f"<caption>{escape(repr(self))}, {spent}</caption>"
        return f"<table>{caption}{body}</table><p>{escape(where)}</p>"


def _exercise(here: Standing, name: str) -> str:
    if name not in here.tries:
        return tr("not tried yet")
    count = here.tries[name]
    tries = tr("1 check") if count == 1 else tr("{count} checks", count=count)
    return f"{tr('passed') if here.passed[name] else tr('not passed yet')}, {tries}"


def _prediction(made: Prediction | None) -> str:
    if made is None:
        return tr("no prediction")
    if not made.answer:
        return tr("you predict: {committed}", committed=tr(made.committed))
    if made.right:
        return tr("right: {committed}", committed=tr(made.committed))
    return tr("wrong: {committed} (it is {answer})", committed=tr(made.committed), answer=tr(made.answer))
