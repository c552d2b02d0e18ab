"""Marks for sheets that were handed in as plain notebooks, each run in a kernel of its own."""

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell

from shira_lab.adapters.storage.files import read_json
from shira_lab.course.handout.lesson import Lesson
from shira_lab.course.progress import OFF, VARIABLE
from shira_lab.errors import StorageError

#: A cell that runs longer than this many seconds is stopped.
TIMEOUT = 300
_TEST = """
def _mark(name, test, *more):
    from shira_lab.course.handout import marking
    try:
        getattr(marking, test)(globals()[name], *more)
    except KeyError:
        return f"{name} is missing."
    except Exception as error:
        return str(error) or type(error).__name__
    return ""
"""


@dataclass(frozen=True)
class Marks:
    """What one learner gets.

    Attributes:
        points: of each exercise.
        said: why points are missing, a sentence for each exercise; or why the file could not be marked at all.
    """

    learner: str
    points: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.points.values())


def grade(handins: Path, lesson: Lesson, marking: Path) -> Iterator[Marks]:
    """The marks of each notebook in a folder, in the order of their names. A damaged one gets none, and ends nothing.

    Raises:
        StorageError: there is no such folder, or the marking is not that of a handout with this lesson.
    """
    known = read_json(marking)
    if lesson.name not in known.get("points", {}) or "seed" not in known:
        raise StorageError(f"{marking} has no points for lesson {lesson.name}: take the file of its handout.")
    if not handins.is_dir():
        raise StorageError(f"{handins} is no folder; put what was handed in into one.")
    for path in sorted(handins.glob("*.ipynb")):
        yield grade_one(path, known["points"][lesson.name], known["seed"])


def grade_one(path: Path, points: dict[str, tuple[int, int]], seed: int) -> Marks:
    """Run a sheet and both tests of each of its exercises."""
    from nbclient import NotebookClient

    try:
        notebook = nbformat.read(path, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        calls = [f"_mark({name!r}, 'visible'), _mark({name!r}, 'hidden', {seed})" for name in points]
        test = f"{_TEST}\nimport json\nprint('\\n' + json.dumps([{', '.join(f'[{call}]' for call in calls)}]))"
        notebook.cells.append(new_code_cell(test))
        notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        resources = {"metadata": {"path": str(path.parent)}}
        client = NotebookClient(notebook, timeout=TIMEOUT, allow_errors=True, resources=resources)
        client.execute(env={**os.environ, VARIABLE: OFF})
        printed = "".join(output.get("text", "") for output in notebook.cells[-1].outputs)
        found: list[list[str]] = json.loads(printed.splitlines()[-1])
    except Exception as error:  # whatever a file that was handed in may hold
        return Marks(path.stem, dict.fromkeys(points, 0), {"file": f"could not be marked: {type(error).__name__}"})
    said = {name: next(filter(None, tests)) for name, tests in zip(points, found, strict=True) if any(tests)}
    earned = {
        name: sum(worth for worth, why in zip(points[name], tests, strict=True) if not why)
        for name, tests in zip(points, found, strict=True)
    }
    return Marks(path.stem, earned, said)


def as_csv(marks: list[Marks]) -> str:
    """One row for each learner: the name, the total, the points of each exercise, and what is missing."""
    names = list(dict.fromkeys(name for one in marks for name in one.points))
    file = io.StringIO()
    rows: list[list[Any]] = [["learner", "total", *names, "why"]]
    rows += [
        [
            one.learner,
            one.total,
            *(one.points[name] for name in names),
            "; ".join(f"{k}: {v}" for k, v in one.said.items()),
        ]
        for one in marks
    ]
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()
