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
from traitlets.config import Config

from shira_lab.adapters.storage.files import read_json
from shira_lab.course.handout.lesson import Lesson
from shira_lab.course.progress import OFF, VARIABLE
from shira_lab.errors import StorageError

#: Seconds after which a cell of a learner's is stopped, and one of the tests. Whatever comes next runs all the same.
CELL_SECONDS, TEST_SECONDS = 300, 300
_TESTS = """
import json
from shira_lab.course.handout import marking

def _mark(name, test, *more):
    said = "" if name in globals() else f"{name} is missing."
    try:
        said or getattr(marking, test)(globals()[name], *more)
    except Exception as error:
        said = str(error) or type(error).__name__
    print("\\n" + json.dumps(said))
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
        calls = [f"_mark({name!r}, {test})" for name in points for test in ("'visible'", f"'hidden', {seed}")]
        notebook.cells += map(new_code_cell, [_TESTS, *calls])
        notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        client = NotebookClient(
            notebook,
            config=Config(KernelManager={"transport_encryption": "auto"}),
            timeout_func=lambda cell: TEST_SECONDS if cell.source in calls else CELL_SECONDS,
            interrupt_on_timeout=True,
            allow_errors=True,
            resources={"metadata": {"path": str(path.parent)}},
        )
        client.execute(env={**os.environ, VARIABLE: OFF})
        said = [_said(cell) for cell in notebook.cells[-len(calls) :]]
    except Exception as error:  # whatever a file that was handed in may hold
        return Marks(path.stem, dict.fromkeys(points, 0), {"file": f"could not be marked: {type(error).__name__}"})
    tests = dict(zip(points, zip(said[::2], said[1::2], strict=True), strict=True))
    earned = {
        name: sum(worth for worth, why in zip(points[name], whys, strict=True) if not why)
        for name, whys in tests.items()
    }
    return Marks(path.stem, earned, {name: next(filter(None, whys)) for name, whys in tests.items() if any(whys)})


def _said(cell: nbformat.NotebookNode) -> str:
    """What a test said last, after all that the answer printed; one that was stopped ends in an error."""
    if any(output.output_type == "error" for output in cell.outputs):
        return f"did not end within {TEST_SECONDS} seconds."
    return str(json.loads("".join(output.get("text", "") for output in cell.outputs).splitlines()[-1]))


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
