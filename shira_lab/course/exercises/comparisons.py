"""The exercise of the comparison lesson: when may one say that a method is better than another?"""

from collections.abc import Iterator
from random import Random

from shira_lab.course.comparison.results import Spread
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict

NEAR_MISS = (0.80, 0.84, 0.82), (0.83, 0.86, 0.85)  # the means differ, and yet it is a tie
PAIRS, SEED = 200, 0


def compare_seeds(first, second):
    if max(first) < min(second):  # stub: if sum(first) / len(first) < sum(second) / len(second):
        return "lower"
    if min(first) > max(second):  # stub: if sum(first) / len(first) > sum(second) / len(second):
        return "higher"
    return "tie"


def _check(answer: Solution) -> Verdict:
    for first, second in (NEAR_MISS, *_pairs()):
        expected, given = Spread(first).against(Spread(second)), answer(list(first), list(second))
        if given not in ("lower", "higher", "tie"):
            return Verdict(False, f"Return 'lower', 'higher' or 'tie'; your function returned {given!r}.")
        if given != expected:
            return Verdict(False, f"{_said(first)} against {_said(second)}: {_why(given, expected)}")
    return Verdict(True, f"{PAIRS} pairs of methods, each told apart only where all of its seeds agree.")


def _pairs() -> Iterator[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Seeds of two methods whose true means are equal, near or far apart, some of them with equal values."""
    random = Random(SEED)
    for _ in range(PAIRS):
        first, second = (
            tuple(round(random.gauss(centre, 0.03), 2) for _ in range(random.randint(2, 5)))
            for centre in (0.8, random.choice((0.7, 0.78, 0.8, 0.82, 0.9)))
        )
        yield first, second


def _said(values: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{value:.2f}" for value in values) + "]"


def _why(given: str, expected: str) -> str:
    if expected == "tie":
        return f"you say '{given}', but values of the one lie among those of the other. That is a tie."
    if given == "tie":
        return f"you say 'tie', but all values of the first are {expected} than all of the second."
    return f"you say '{given}', but the first is {expected}. Which of the two is which?"


COMPARE_SEEDS = Exercise(
    solution=compare_seeds,
    check=_check,
    difficulty="medium",
    minutes=10,
    stub_says="[0.80, 0.84, 0.82] against [0.83, 0.86, 0.85]: you say 'lower', but values of the one lie among those "
    "of the other. That is a tie.",
)
