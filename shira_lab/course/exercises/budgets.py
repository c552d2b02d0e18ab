"""The exercise of the budget lesson: the largest r whose adapter file stays below a given size."""

from shira_lab.analysis.costs import in_units, shira_cost
from shira_lab.budget import Shape, max_r
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict

SQUARE = [(768, 768)] * 24  # q and v of a model like opt-125m
MIXED = [(4096, 4096), (1024, 4096), (14336, 4096), (4096, 14336)] * 2
TINY = [(64, 16), (16, 64)]
CASES = (
    (SQUARE, 10_000_000),
    (MIXED, 40_000_000),
    (MIXED, 999_999),
    (SQUARE, 442_368),
    (SQUARE, 442_367),
    (TINY, 10**9),
)


def largest_r(shapes, max_bytes):
    numbers = sum(m + n for m, n in shapes)
    fits = max_bytes // (12 * numbers)  # stub: fits = max_bytes // (4 * numbers)
    legal = min(m * n // (m + n) for m, n in shapes)  # stub: -
    return min(fits, legal)  # stub: return fits


def _check(answer: Solution) -> Verdict:
    for shapes, limit in CASES:
        given = answer(list(shapes), limit)
        truth = _truth(shapes, limit)
        if given != truth:
            return Verdict(False, _why(given, truth, shapes, limit))
    return Verdict(True, f"All {len(CASES)} files are as large as they may be, and every layer's r is legal.")


def _truth(shapes: list[Shape], limit: int) -> int:
    """By trying: the last r that is legal everywhere and fits."""
    legal = range(1, min(map(max_r, shapes)) + 1)
    return max((r for r in legal if shira_cost(r, shapes, 0, 4).file <= limit), default=0)


def _why(given: object, truth: int, shapes: list[Shape], limit: int) -> str:
    case = f"{len(shapes)} layers, the first {shapes[0][0]} x {shapes[0][1]}, and {in_units(limit)}"
    if isinstance(given, bool) or not isinstance(given, int):
        return f"For {case} your answer is {given!r}; r is a whole number."
    if given > min(map(max_r, shapes)):
        return f"For {case} your r = {given} is not legal in every layer: r(m + n) must not exceed mn."
    size = shira_cost(given, shapes, 0, 4).file
    if size > limit:
        return f"For {case} your r = {given} gives a file of {in_units(size)}. How many bytes is one parameter?"
    return f"For {case} your r = {given} is legal and fits, but so is {truth}."


LARGEST_R = Exercise(
    solution=largest_r,
    check=_check,
    difficulty="easy",
    minutes=8,
    stub_says=(
        "For 24 layers, the first 768 x 768, and 10.0 MB your r = 67 gives a file of 29.6 MB. How many bytes is one "
        "parameter?"
    ),
)
