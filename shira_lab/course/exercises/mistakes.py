"""Checks that know what beginners write: an answer that gives what a known mistake gives is told that mistake."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from shira_lab.course.exercises.exercise import Solution, Verdict
from shira_lab.course.language import tr

#: What beginners write, by the sentence that they should hear.
Mistakes = Mapping[str, Solution]


def compared(
    answer: Solution,
    solution: Solution,
    cases: Sequence[tuple[Any, ...]],
    mistakes: Mistakes,
    otherwise: Callable[[tuple[Any, ...], Any, Any], str],
    praise: str,
) -> Verdict:
    """The verdict on an answer that should give what the solution gives, on copies of the arguments of each case.

    Args:
        mistakes: the first that gives in every case what the answer gives is what is said.
        otherwise: what is said of the first case that is wrong, from its arguments, what the answer gave and the truth.
        praise: what is said when every case is right.
    """
    given, truth = (outcomes(function, cases) for function in (answer, solution))
    wrong = [number for number in range(len(cases)) if not same(given[number], truth[number])]
    if not wrong:
        return Verdict(True, praise)
    for sentence, mistake in mistakes.items():
        if all(map(same, given, outcomes(mistake, cases))):
            return Verdict(False, tr(sentence))
    case, got = cases[wrong[0]], given[wrong[0]]
    if isinstance(got, Exception):
        return Verdict(False, tr("It stopped with {error}", error=f"{type(got).__name__}: {got}"))
    return Verdict(False, otherwise(case, got, truth[wrong[0]]))


def outcomes(function: Solution, cases: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What the function gives for each case; an error that it raises is given, too."""

    def outcome(case: tuple[Any, ...]) -> Any:
        try:
            return function(*deepcopy(case))
        except Exception as error:  # whatever a learner's code may raise
            return error

    return [outcome(case) for case in cases]


def same(one: Any, two: Any) -> bool:
    """Equal; tensors but for rounding, errors in kind and text."""
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.shape == two.shape and torch.allclose(one.double(), two.double(), rtol=1e-4, atol=1e-6)
    if isinstance(one, Exception) and isinstance(two, Exception):
        return repr(one) == repr(two)
    return type(one) is type(two) and bool(one == two)
