"""What a handout needs of a lesson: its exercises with the text before each, and the names that their code needs."""

import ast
import inspect
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from shira_lab.course.exercises import EXERCISES, Exercise
from shira_lab.course.lessons import lessons
from shira_lab.errors import ShiraError

ALL = "all"
_LINK = re.compile(r"\[([^\]]+)\]\((?!#)[^)]+\.ipynb[^)]*\)")
_START = re.compile(r"\*To start here,.*?\*\n+", re.DOTALL)


@dataclass(frozen=True)
class Task:
    """An exercise in its place in a lesson.

    Attributes:
        heading, text: what the lesson says before the cell in which the learner writes.
    """

    exercise: Exercise
    heading: str
    text: str


@dataclass(frozen=True)
class Lesson:
    """A lesson of the course, as the package has it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def notebook(self) -> NotebookNode:
        return nbformat.read(self.path, as_version=4)

    @property
    def title(self) -> str:
        return str(self.notebook.cells[0].source.splitlines()[0].removeprefix("# "))

    @cached_property
    def tasks(self) -> list[Task]:
        found, heading, text = list[Task](), "", list[str]()
        for cell in self.notebook.cells:
            if cell.cell_type == "markdown":
                before, *sections = re.split(r"^## ", cell.source, flags=re.MULTILINE)
                text.append(before)
                if sections:
                    heading, _, rest = sections[-1].partition("\n")
                    text = [rest]
            elif is_exercise(cell):
                plain = _LINK.sub(r"\1", _START.sub("", "\n\n".join(part.strip() for part in text)))
                found.append(Task(exercise_in(cell), heading, plain.strip()))
                text = []
        return found


def is_exercise(cell: NotebookNode) -> bool:
    """Whether a learner writes in this cell."""
    return "exercise" in cell.metadata.get("tags", [])


def exercise_in(cell: NotebookNode) -> Exercise:
    """The exercise whose stub this cell holds."""
    made = {getattr(node, "name", "") for node in ast.parse(cell.source).body}
    return next(exercise for name, exercise in EXERCISES.items() if name in made)


def find_lessons(names: list[str]) -> list[Lesson]:
    """The lessons of these names, each in full, without its title, or as a number: 01-start-here, 01 or 1.

    Raises:
        ShiraError: no lesson has one of the names.
    """
    known = {path.stem: Lesson(path) for path in lessons()}
    by_number = {int(name.split("-")[0]): name for name in known}
    found = dict[str, Lesson]()
    for name in known if ALL in names else names:
        full = by_number.get(int(name), "") if name.isdecimal() else name.removesuffix(".ipynb")
        if full not in known:
            raise ShiraError(
                f"There is no lesson {name!r}; there are {', '.join(known)}, each by its number, too, or all."
            )
        found[full] = known[full]
    return list(found.values())


def imports_for(exercises: list[Exercise]) -> str:
    """The import lines that these exercises' code needs, as their modules have them; no exercise is among them."""
    lines = set[str]()
    for exercise in exercises:
        used = {node.id for node in ast.walk(ast.parse(exercise.answer)) if isinstance(node, ast.Name)}
        for node in ast.parse(inspect.getsource(sys.modules[exercise.solution.__module__])).body:
            for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
                if (alias.asname or alias.name) in used - EXERCISES.keys():
                    one = (
                        ast.ImportFrom(node.module, [alias], 0)
                        if isinstance(node, ast.ImportFrom)
                        else ast.Import([alias])
                    )
                    lines.add(ast.unparse(one))
    return "\n".join(sorted(lines, key=lambda line: (line.startswith("from"), line)))
