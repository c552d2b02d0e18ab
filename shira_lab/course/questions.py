"""The questions that the lessons ask before they show a result, read from the lessons themselves.

A lesson's cell has ``Prediction(question)``; a later one has ``compare(...)``, whose stored output names the right
option. So a lecture asks what the lessons ask, and gives the answer that was computed there.
"""

import ast
from dataclasses import dataclass
from functools import cache

import nbformat
from nbformat import NotebookNode

from shira_lab.course.lessons import lessons
from shira_lab.course.reasons import reasons


@dataclass(frozen=True)
class Question:
    """A question with its options.

    Attributes:
        question: one sentence.
        options: each option with a sentence on why it is right or wrong.
        answer: the right option.
    """

    question: str
    options: dict[str, str]
    answer: str


@cache
def questions(lesson: int) -> tuple[Question, ...]:
    """The questions of a lesson that have a stored answer, in its order.

    >>> [question.answer for question in questions(1)]
    ['all 192']
    """
    [path] = [path for path in lessons() if path.name.startswith(f"{lesson:02}-")]
    return asked_in(nbformat.read(path, as_version=4))


def asked_in(notebook: NotebookNode) -> tuple[Question, ...]:
    """The same for a notebook; several questions may wait for their answers at once."""
    asked: dict[str, str] = {}
    found = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="Prediction"), args=[text])
                ):
                    asked[name] = ast.literal_eval(text)
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="compare")) if name in asked:
                    whys = reasons(asked[name])
                    said = "".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs)
                    found += [Question(asked[name], whys, right) for right in whys if f"The answer: {right}." in said]
    return tuple(found)
