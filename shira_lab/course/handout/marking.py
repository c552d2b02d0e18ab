"""The two tests of an answer, as cells of a sheet call them: quiet where it passes, an AssertionError where not.

The visible one is the exercise's own check. The hidden one tries the answer on inputs that are drawn from a seed of
the teacher's, so that an answer made for the inputs of the check alone is found out.
"""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from shira_lab.course.exercises import EXERCISES, judge
from shira_lab.course.exercises.build.judging import names_of
from shira_lab.course.exercises.exercise import Solution
from shira_lab.course.handout.hidden import HIDDEN


def visible(answer: Solution) -> None:
    """Check the answer as the lesson does.

    Raises:
        AssertionError: the check does not pass; its message says why.
    """
    with steps_before(answer):
        verdict = judge(answer)
    assert verdict.passed, verdict.message


def hidden(answer: Solution, seed: int) -> None:
    """Try the answer on inputs drawn from ``seed``; an exercise without inputs is checked once more.

    Raises:
        AssertionError: the answer is wrong for some of them.
    """
    if answer.__name__ not in HIDDEN:
        return visible(answer)
    with steps_before(answer):
        try:
            right = HIDDEN[answer.__name__](answer, Random(seed))
        except Exception as error:  # whatever a learner's code may raise
            raise AssertionError(f"{answer.__name__} stopped with {type(error).__name__}: {error}") from None
    assert right, f"{answer.__name__} is wrong for other inputs than those of its check."
    return None


@contextmanager
def steps_before(answer: Solution) -> Iterator[None]:
    """Inside, the earlier exercises that this one builds on are the learner's where they pass, else their solutions.

    So each answer is judged alone, also where an earlier one is wrong or missing.
    """
    names = names_of(answer)
    replaced: dict[str, Any] = {}
    try:
        for name in _built_on(answer.__name__):
            if name not in names or not judge(names[name]).passed:
                replaced[name] = names.get(name)
                names[name] = EXERCISES[name].made_among(names, readable=False)
        yield
    finally:
        for name, before in replaced.items():
            names[name] = before
            if before is None:
                del names[name]


def _built_on(name: str) -> list[str]:
    """The exercises whose names the solution uses, and those that they use, in the order of the lessons."""
    found, open_ = set[str](), [name]
    while open_:
        used = {node.id for node in ast.walk(ast.parse(EXERCISES[open_.pop()].answer)) if isinstance(node, ast.Name)}
        new = (used & EXERCISES.keys()) - found - {name}
        found |= new
        open_ += new
    return [one for one in EXERCISES if one in found]
