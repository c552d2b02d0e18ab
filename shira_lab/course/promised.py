"""The texts that a language has to have: those that the package asks ``tr`` for, and those of lessons.

They are read from the source, so a text that was added or changed is missing until it is translated.
"""

import ast
import sys
from functools import cache
from pathlib import Path

from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from shira_lab.course.exercises.exercise import Exercise
from shira_lab.course.handout.lesson import Lesson
from shira_lab.course.language import LOCALE
from shira_lab.course.reasons import reasons, written
from shira_lab.course.translated import texts

COURSE = Path(__file__).parent
#: Where a catalogue says that texts of the package come from; those of a lesson come from its name.
PACKAGE = "shira_lab"


def promised(code: str) -> list[str]:
    """The lessons whose texts the catalogue of a language holds, translated or not."""
    return sorted({place for message in _messages(code) for place, _ in message.locations} - {PACKAGE})


def missing(code: str, wanted: list[str]) -> list[str]:
    """The texts that a language lacks, or has for an English text that was another one."""
    known = {message.id for message in _messages(code) if message.string and not message.fuzzy}
    return [text for text in wanted if text not in known]


def _messages(code: str) -> list[Message]:
    with (LOCALE / f"{code}.po").open("rb") as file:
        return [message for message in read_po(file) if message.id]


@cache
def of_package() -> list[str]:
    """What is given to ``tr``: texts, and names of texts of the same module."""
    found = dict[str, None]()
    for path in sorted(COURSE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name("tr"), args=[ast.Constant(str(text))]):
                    found[text] = None
                case ast.Call(func=ast.Name("tr"), args=[ast.Name(name)]) if name in named:
                    found[named[name]] = None
    return list(found)


def of_lesson(lesson: Lesson) -> list[str]:
    """What a learner reads in its cells, and what its checks say of mistakes that they know."""
    found = [text.text for cell in lesson.notebook.cells for text in texts(cell)]
    found += [
        part for question in found if question in written() for option in reasons(question).items() for part in option
    ]
    found += [sentence for task in lesson.tasks for sentence in known_mistakes(task.exercise)]
    return list(dict.fromkeys(found))


def known_mistakes(exercise: Exercise) -> list[str]:
    """The sentences of the exercise's module for mistakes by what they give."""
    return list(getattr(sys.modules[exercise.solution.__module__], "MISTAKES", {}))
