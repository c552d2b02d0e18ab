"""A sheet of exercises as a notebook, for one of three ways to grade it.

Each task is a heading, its points, the lesson's text, a cell to write in, the friendly check, and two tests. In the
formats of nbgrader and of Otter-Grader the solution stands under the stub, where their tools take it out.
"""

from collections.abc import Callable
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from shira_lab.course.exercises.shown import FILE
from shira_lab.course.handout.lesson import Lesson, Task, imports_for
from shira_lab.course.handout.points import points_of

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
TEST = "from shira_lab.course.handout.marking import {test}\n\n{test}({arguments})"

Cells = list[NotebookNode]


def sheet(lesson: Lesson, cells_of: Callable[[Task, int], Cells], seed: int) -> NotebookNode:
    """The exercises of a lesson, each with the cells that ``cells_of(task, seed)`` gives."""
    points = sum(sum(points_of(task.exercise)) for task in lesson.tasks)
    opening = (
        f"# {lesson.title}: exercises\n\nFrom lesson {lesson.name}: {points} points. Write your answers into the cells "
        "with the marked lines, run `check`, and hand in this file."
    )
    imports = imports_for([task.exercise for task in lesson.tasks])
    cells = [
        new_markdown_cell(opening),
        new_code_cell(f"{imports}\n\nfrom shira_lab.course.exercises import check".strip()),
    ]
    for task in lesson.tasks:
        seen, hidden = points_of(task.exercise)
        worth = f"*{seen + hidden} points: {seen} for the check that you see, {hidden} for tests on other inputs.*"
        cells += [new_markdown_cell(f"## {task.heading}\n\n{worth}\n\n{task.text}"), *cells_of(task, seed)]
    return numbered(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), lesson.name)


def numbered(notebook: NotebookNode, name: str) -> NotebookNode:
    """The notebook with ids that are the same each time it is made."""
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"{name}-{number:02}"
    return notebook


def visible_test(task: Task) -> str:
    return TEST.format(test="visible", arguments=task.exercise.name)


def hidden_test(task: Task, seed: int) -> str:
    return TEST.format(test="hidden", arguments=f"{task.exercise.name}, seed={seed}")


def check_cell(task: Task) -> NotebookNode:
    return new_code_cell(f"check({task.exercise.name})")


def for_learners(task: Task, seed: int) -> Cells:
    """The stub and the visible test alone."""
    return [new_code_cell(task.exercise.stub, metadata={"tags": ["exercise"]}), check_cell(task)]


def for_nbgrader(task: Task, seed: int) -> Cells:
    """Cells for ``nbgrader generate_assignment``, which takes the solution and the hidden test out."""
    name, (seen, hidden) = task.exercise.name, points_of(task.exercise)

    def marked(source: str, grade_id: str, **said: Any) -> NotebookNode:
        base = {"schema_version": 3, "grade": False, "solution": False, "locked": True, "task": False}
        return new_code_cell(source, metadata={"nbgrader": {**base, "grade_id": grade_id, **said}})

    answer = f"{task.exercise.stub}\n\n### BEGIN SOLUTION\n{task.exercise.answer}\n### END SOLUTION"
    secret = f"# tests on other inputs\n### BEGIN HIDDEN TESTS\n{hidden_test(task, seed)}\n### END HIDDEN TESTS"
    return [
        marked(answer, name, solution=True, locked=False),
        check_cell(task),
        marked(visible_test(task), f"{name}-visible", grade=True, points=seen),
        marked(secret, f"{name}-hidden", grade=True, points=hidden),
    ]


def for_otter(task: Task, seed: int) -> Cells:
    """Cells for ``otter assign``, which takes the solution and the hidden test out."""
    name, points = task.exercise.name, points_of(task.exercise)
    answer = f"{task.exercise.stub}\n# BEGIN SOLUTION NO PROMPT\n{task.exercise.answer}\n# END SOLUTION"
    return [
        new_raw_cell(f"# BEGIN QUESTION\nname: {name}\npoints: {list(points)}"),
        new_raw_cell("# BEGIN SOLUTION"),
        new_code_cell(answer),
        new_raw_cell("# END SOLUTION"),
        new_raw_cell("# BEGIN TESTS"),
        new_code_cell(visible_test(task)),
        new_code_cell(f"# HIDDEN\n{hidden_test(task, seed)}"),
        new_raw_cell("# END TESTS"),
        new_raw_cell("# END QUESTION"),
        check_cell(task),
    ]


def otter_config(lesson: Lesson, kept: bool) -> NotebookNode:
    """The first cell of a sheet for Otter-Grader."""
    files = f"\nfiles: [{FILE}]" if kept else ""
    return new_raw_cell(f"# ASSIGNMENT CONFIG\nname: {lesson.name}{files}\nexport_cell:\n  pdf: false")
