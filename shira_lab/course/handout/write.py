"""A whole handout as a folder: made beside its place and moved there in one step, so it is whole or not there."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from shira_lab.adapters.storage.files import writing
from shira_lab.course.exercises.shown import FILE, FILE_SAYS
from shira_lab.course.handout import lesson_files, sheets
from shira_lab.course.handout.lesson import Lesson, Task
from shira_lab.course.handout.notes import notes_of
from shira_lab.course.handout.points import points_of
from shira_lab.course.handout.readme import README
from shira_lab.errors import StorageError

#: In the teacher's folder: the seed of the hidden tests, and the points of each exercise.
MARKING = "marking.json"

NBGRADER_CONFIG = """c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "shira"
# The stub stands above each solution, and stays.
c.ClearSolutions.code_stub = {"python": ""}
# A graded sheet is run with the package that the teacher has; tests that have to try many inputs take a moment.
c.ExecutePreprocessor.timeout = 300
"""


@dataclass(frozen=True)
class Handout:
    """What is to be handed out.

    Attributes:
        seed: draws the inputs of the hidden tests; whoever knows it knows them.
        kept: whether learners' files and their package keep the solutions back.
    """

    lessons: list[Lesson]
    seed: int
    kept: bool = True

    def write(self, format_: str, out: Path) -> None:
        """Write the files of one of :data:`FORMATS` into ``out``.

        Raises:
            StorageError: there is something in ``out``, or it cannot be written; nothing has changed.
        """
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise StorageError(f"{out} is not empty: name a folder that is not there yet. Nothing was written.")
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        try:
            with writing(out):
                for path, content in self._files(format_):
                    (made / path).parent.mkdir(parents=True, exist_ok=True)
                    (made / path).write_text(content, encoding="utf-8")
                if out.exists():
                    out.rmdir()
                made.chmod(0o755)
                made.rename(out)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _files(self, format_: str) -> Iterator[tuple[str, str]]:
        yield "README.md", README[format_]
        points = {
            lesson.name: {task.exercise.name: points_of(task.exercise) for task in lesson.tasks}
            for lesson in self.lessons
        }
        yield f"teacher/{MARKING}", json.dumps({"seed": self.seed, "points": points}, indent=1)
        for lesson in self.lessons:
            yield f"learners/lessons/{lesson.path.name}", _text(lesson_files.for_learners(lesson, self.kept))
            yield f"teacher/lessons/{lesson.path.name}", _text(lesson_files.for_teachers(lesson, notes_of(lesson.name)))
        yield from self._switch("learners/lessons")
        yield from FORMATS[format_](self)

    def _switch(self, *folders: str) -> Iterator[tuple[str, str]]:
        if self.kept:
            yield from ((f"{folder}/{FILE}", FILE_SAYS) for folder in folders)

    def _plain(self) -> Iterator[tuple[str, str]]:
        for lesson in self.lessons:
            yield f"learners/exercises/{lesson.path.name}", _text(sheets.sheet(lesson, sheets.for_learners, self.seed))
            yield f"teacher/exercises/{lesson.path.name}", _text(sheets.sheet(lesson, _solved, self.seed))
        yield from self._switch("learners/exercises")

    def _nbgrader(self) -> Iterator[tuple[str, str]]:
        yield "nbgrader_config.py", NBGRADER_CONFIG
        for lesson in self.lessons:
            folder = f"source/{lesson.name}"
            yield f"{folder}/{lesson.path.name}", _text(sheets.sheet(lesson, sheets.for_nbgrader, self.seed))
            yield from self._switch(folder)

    def _otter(self) -> Iterator[tuple[str, str]]:
        for lesson in self.lessons:
            folder = f"otter/{lesson.name}"
            notebook = sheets.sheet(lesson, sheets.for_otter, self.seed)
            notebook.cells.insert(0, sheets.otter_config(lesson, self.kept))
            yield f"{folder}/{lesson.path.name}", _text(sheets.numbered(notebook, lesson.name))
            yield from self._switch(folder)


FORMATS: dict[str, Callable[[Handout], Iterable[tuple[str, str]]]] = {
    "plain": Handout._plain,
    "nbgrader": Handout._nbgrader,
    "otter": Handout._otter,
}


def _solved(task: Task, seed: int) -> sheets.Cells:
    """The solution, what the check says of it, and both tests."""
    solution, check = new_code_cell(task.exercise.answer), sheets.check_cell(task)
    check.outputs = [lesson_files.expected_output(task.exercise.check(task.exercise.solution))]
    tests = [sheets.visible_test(task), sheets.hidden_test(task, seed)]
    return [solution, check, *map(new_code_cell, tests)]


def _text(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook) + "\n"
