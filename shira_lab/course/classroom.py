"""A class on one page: what handed-in files of progress say together, as HTML that needs nothing else, and as CSV."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from shira_lab.course.exercises import EXERCISES
from shira_lab.course.progress import Progress, read
from shira_lab.course.standing import contents, standing
from shira_lab.errors import StorageError

#: Hints and predictions that are shown, the most common first.
MOST = 12

STYLE = """body{font-family:system-ui,sans-serif;margin:24px;color:#222}
table{border-collapse:collapse;margin:8px 0 32px}
th,td{border:1px solid #999;padding:4px 8px;text-align:left}td.passed{background:#cfe8ff}td.tried{background:#ffe3c2}
th.up{writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap;font-weight:normal}
.wide{overflow-x:auto}"""


@dataclass(frozen=True)
class Class:
    """What was handed in.

    Attributes:
        learners: their progress by the names of their files, without the ending.
        problems: what could not be read, and names that no lesson knows, a sentence each.
    """

    learners: dict[str, Progress]
    problems: list[str]

    @property
    def exercises(self) -> list[str]:
        """Those of the lessons in which somebody tried one."""
        tried = {check.exercise for progress in self.learners.values() for check in progress.checks}
        return [name for asked in contents().values() if tried & {*asked.exercises} for name in asked.exercises]


def collect(folder: Path) -> Class:
    """All files of progress in a folder. A damaged one is a problem, and ends nothing.

    Raises:
        StorageError: there is no such folder, or no file in it.
    """
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        raise StorageError(f"There is no .json file in {folder}: put there what learners hand in, as NAME.json.")
    learners, problems = dict[str, Progress](), list[str]()
    known = {question for asked in contents().values() for question in asked.questions}
    for path in files:
        try:
            progress = learners[path.stem] = read(path)
        except StorageError as error:
            problems.append(str(error))
            continue
        wrong = {check.exercise for check in progress.checks} - EXERCISES.keys()
        wrong |= {one.question for one in progress.predictions} - known
        problems += [f"{path.name}: no lesson knows {name!r}, and it is not counted." for name in sorted(wrong)]
    return Class(learners, problems)


def as_csv(learners: Class) -> str:
    """One row for each learner: minutes, right predictions, and for each exercise ``passed``, ``tried`` or nothing."""
    rows = [["learner", "passed", "tried", "right predictions", "predictions", "minutes", *learners.exercises]]
    rows += [
        [name, *map(str, _row(progress)), *_states(progress, learners)] for name, progress in learners.learners.items()
    ]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def as_page(learners: Class) -> str:
    """The page of the class."""
    head = "<th>learner</th><th>minutes</th><th>predictions</th>"
    head += "".join(f'<th class="up" scope="col">{escape(name)}</th>' for name in learners.exercises)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{_cells(progress, learners)}</tr>'
        for name, progress in learners.learners.items()
    )
    count = len(learners.learners)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The class</title>',
        f"<style>{STYLE}</style></head><body><h1>The class: {count} {'learner' if count == 1 else 'learners'}</h1>",
        "<p>For each exercise the number of checks until it passed; … where it was tried and has not passed yet.</p>",
        f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>',
        _table("Wrong predictions", ("question", "predicted", "learners", "the answer"), wrong_predictions(learners)),
        _table("Hints that came most", ("exercise", "hint", "learners", "times"), hints(learners)),
        _table("Problems with files", ("problem",), [(problem,) for problem in learners.problems]),
    ]
    return "".join(parts) + "</body></html>\n"


def wrong_predictions(learners: Class) -> list[tuple[str, ...]]:
    """The most common ones: question, what was predicted, by how many learners, and what is right."""
    wrong = Counter(
        (one.question, one.committed, one.answer)
        for progress in learners.learners.values()
        for one in progress.predictions
        if one.answer and not one.right
    )
    return [(question, said, str(count), right) for (question, said, right), count in wrong.most_common(MOST)]


def hints(learners: Class) -> list[tuple[str, ...]]:
    """The most common ones: exercise, one of its wordings, how many learners met it, and how often.

    Hints that differ in numbers alone are one hint.
    """
    times, words, who = Counter[tuple[str, str]](), dict[tuple[str, str], str](), dict[tuple[str, str], set[str]]()
    for name, progress in learners.learners.items():
        for check in progress.checks:
            if not check.passed and check.exercise in EXERCISES:
                kind = check.exercise, re.sub(r"\d[\d,.]*", "#", check.said)
                times[kind] += 1
                words.setdefault(kind, check.said)
                who.setdefault(kind, set()).add(name)
    ranked = sorted(times, key=lambda kind: (-len(who[kind]), -times[kind], kind))
    return [(kind[0], words[kind], str(len(who[kind])), str(times[kind])) for kind in ranked[:MOST]]


def _row(progress: Progress) -> tuple[int, int, int, int, int]:
    here = [standing(progress, lesson) for lesson in contents()]
    predictions = [prediction for one in here for prediction in one.predictions]
    passed, tried = (
        sum(map(count, here)) for count in (lambda one: sum(one.passed.values()), lambda one: len(one.tries))
    )
    return passed, tried, sum(one.right for one in predictions), len(predictions), sum(one.minutes for one in here)


def _tries(progress: Progress, exercise: str) -> tuple[int, bool]:
    """Checks until the first that passed, or all of them where none did."""
    outcomes = [check.passed for check in progress.checks if check.exercise == exercise]
    return (outcomes.index(True) + 1, True) if True in outcomes else (len(outcomes), False)


def _states(progress: Progress, learners: Class) -> list[str]:
    tries = (_tries(progress, name) for name in learners.exercises)
    return ["passed" if passed else "tried" if count else "" for count, passed in tries]


def _cells(progress: Progress, learners: Class) -> str:
    _, _, right, predictions, spent = _row(progress)
    cells = f"<td>{spent}</td><td>{right} of {predictions} right</td>"
    for name in learners.exercises:
        count, passed = _tries(progress, name)
        kind, said = ("passed", f"✓ {count}") if passed else ("tried", f"… {count}") if count else ("", "")
        cells += f'<td class="{kind}">{said}</td>'
    return cells


def _table(title: str, heads: Iterable[str], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return f"<h2>{title}</h2><p>None.</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{title}</h2><table><tr>{head}</tr>{body}</table>"
