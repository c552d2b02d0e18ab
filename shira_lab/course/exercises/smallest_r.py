"""The second exercise of the first lesson: the smallest r whose random masks leave no row and no column out."""

from typing import Any

from torch import Tensor, nn

from shira_lab.budget import num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.mistakes import compared
from shira_lab.course.language import tr
from shira_lab.masks import random_mask


def smallest_r(shape, seeds):
    """The smallest r at which the random mask of each seed has an entry in every row and in every column."""
    m, n = shape
    layer = nn.Linear(n, m)  # stub: -
    r = 1
    masks = [random_mask(layer, r, random_seed=seed) for seed in seeds]  # stub: -
    while not all(mask.any(dim=0).all() and mask.any(dim=1).all() for mask in masks):  # stub: -
        r += 1  # stub: -
        masks = [random_mask(layer, r, random_seed=seed) for seed in seeds]  # stub: -
    return r  # stub: return r


CASES = (((48, 48), (0, 1, 2, 3)), ((96, 24), (0, 1, 2)), ((24, 96), (4, 5, 6, 7)), ((64, 40), (8, 9)))


def _search(shape: tuple[int, int], seeds: Any, enough: Any) -> int:
    m, n = shape
    layer, r = nn.Linear(n, m), 1
    while not enough([random_mask(layer, r, random_seed=seed) for seed in seeds]):
        r += 1
    return r


def _full(mask: Tensor, *along: int) -> bool:
    return all(bool(mask.any(dim).all()) for dim in along)


MISTAKES: dict[str, Solution] = {
    "r = 1 is the answer for every shape: nothing was tried. As long as a mask leaves a row or a column empty, take "
    "the "
    "next r, and draw the masks anew.": lambda shape, seeds: 1,
    "Columns are forgotten: `mask.any(dim=1)` says of each row whether it has an entry, `mask.any(dim=0)` of each "
    "column. A column without an entry is an input that the adapter does not use.": lambda shape, seeds: _search(
        shape, seeds, lambda masks: all(_full(mask, 1) for mask in masks)
    ),
    "Rows are forgotten: `mask.any(dim=0)` says of each column whether it has an entry, `mask.any(dim=1)` of each "
    "row. A "
    "row without an entry is an output that the adapter cannot change.": lambda shape, seeds: _search(
        shape, seeds, lambda masks: all(_full(mask, 0) for mask in masks)
    ),
    "Only the first seed counts in your answer: every seed's mask should be without an empty row or column.": (
        lambda shape, seeds: smallest_r(shape, seeds[:1])
    ),
    "You stop as soon as one of the seeds will do: `all` of them have to.": lambda shape, seeds: _search(
        shape, seeds, lambda masks: any(_full(mask, 0, 1) for mask in masks)
    ),
    "One too many: the loop goes on once more after it has found r.": lambda shape, seeds: smallest_r(shape, seeds) + 1,
    "One too few: the last r that leaves something empty, and not the first that does not.": (
        lambda shape, seeds: smallest_r(shape, seeds) - 1
    ),
    "This is the budget, k = r(m + n); r itself is asked for.": (
        lambda shape, seeds: num_params(smallest_r(shape, seeds), shape)
    ),
    "These are answers for the transposed shape: the weight (m, n) is that of `nn.Linear(n, m)`.": (
        lambda shape, seeds: smallest_r(shape[::-1], seeds)
    ),
    "One r for each seed: a single one is asked for, with which all of them work.": (
        lambda shape, seeds: [smallest_r(shape, [seed]) for seed in seeds]
    ),
}


def _otherwise(case: tuple[Any, ...], given: Any, truth: int) -> str:
    return tr(
        "For a weight of shape {shape} and the seeds {seeds} you give {given!r}; it is {truth}.",
        shape=case[0], seeds=case[1], given=given, truth=truth,
    )  # fmt: skip


def _check(answer: Solution) -> Verdict:
    praise = tr("Right for every shape and seed tried: no row and no column is left out, and no smaller r does it.")
    return compared(answer, smallest_r, CASES, MISTAKES, _otherwise, praise)


SMALLEST_R = Exercise(
    solution=smallest_r, check=_check, difficulty="medium", minutes=10, stub_says=next(iter(MISTAKES))
)
