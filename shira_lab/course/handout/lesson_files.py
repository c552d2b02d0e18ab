"""A lesson as it is handed out: to learners without what solutions have left in it, to teachers with all of it."""

import ast
import re
from copy import deepcopy

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output

from shira_lab.course.exercises import EXERCISES, Verdict, judge
from shira_lab.course.handout.lesson import Lesson, exercise_in, is_exercise
from shira_lab.course.handout.sheets import numbered

_STUCK = re.compile(r"<details><summary>Stuck\?</summary>\s*`solution\(.*?</details>\n*", re.DOTALL)


def for_learners(lesson: Lesson, kept: bool = True) -> NotebookNode:
    """The lesson; where solutions are ``kept``, no stored output that an answer had a part in, and no word of them."""
    notebook = deepcopy(lesson.notebook)
    for cell in notebook.cells if kept else ():
        if cell.cell_type == "markdown":
            cell.source = _STUCK.sub("", cell.source)
        elif cell.cell_type == "code" and (is_exercise(cell) or _names(cell) & {*EXERCISES, "solution"}):
            cell.outputs = []
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    return notebook


def for_teachers(lesson: Lesson, notes: str) -> NotebookNode:
    """The lesson under its notes, with solutions in the cells of the exercises and what the checks say of them."""
    notebook = deepcopy(lesson.notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code" and is_exercise(cell):
            cell.source, cell.outputs = exercise_in(cell).answer, []
        elif cell.cell_type == "code" and (called := _checked(cell)):
            cell.outputs = [expected_output(judge(EXERCISES[called].solution))]
    notebook.cells.insert(0, new_markdown_cell(notes))
    return numbered(notebook, lesson.name)


def expected_output(verdict: Verdict) -> NotebookNode:
    """A verdict as a notebook stores it."""
    return new_output("execute_result", verdict._repr_mimebundle_(), execution_count=None)


def _names(cell: NotebookNode) -> set[str]:
    return {node.id for node in ast.walk(_tree(cell)) if isinstance(node, ast.Name)}


def _checked(cell: NotebookNode) -> str:
    """The exercise whose check is the value of this cell; empty where it has another one."""
    last = _tree(cell).body[-1:]
    match last:
        case [ast.Expr(ast.Call(ast.Name("check"), [ast.Name(name)]))] if name in EXERCISES:
            return name
    return ""


def _tree(cell: NotebookNode) -> ast.Module:
    return compile(cell.source, "cell", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
