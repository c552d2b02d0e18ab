"""What an answer builds on: a mistake in an earlier exercise would be blamed on this one."""

import dis
from collections.abc import Iterator, Mapping
from types import CodeType

from shira_lab.course.exercises.build.judging import functions_of
from shira_lab.course.exercises.exercise import Exercise, Solution


def first_broken(answer: Solution, exercises: Mapping[str, Exercise]) -> str | None:
    """The first exercise whose function this answer uses, itself or through another one, and whose check fails."""
    used: dict[str, Solution] = {answer.__name__: answer}
    waiting = [answer]
    while waiting:
        for function in functions_of(waiting.pop()):
            for name in exercises.keys() & set(_globals_in(function.__code__)) - used.keys():
                if callable(found := function.__globals__.get(name)):
                    used[name] = found
                    waiting.append(found)
    del used[answer.__name__]
    return next((name for name in exercises if name in used and not exercises[name].check(used[name]).passed), None)


def _globals_in(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            yield instruction.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):  # a comprehension, or a function inside of it
            yield from _globals_in(inner)
