"""Two exercises on masks that never lose rank: the fewest ones that do, and the same within a budget of r(m + n).

The rank of a matrix is at most the number of its rows, and of its columns, that are not zero. With min(m, n) ones, no
two in a row or column, a delta of any non-zero values there has min(m, n) independent rows (or columns).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from shira_lab.budget import Shape, num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.looking import random_rank
from shira_lab.course.exercises.trials import Trial, Wrong, check_count, try_all


def fewest(m, n):
    """The fewest ones with which a delta of shape (m, n) can have full rank, min(m, n)."""
    mask = torch.zeros(m, n)
    places = torch.arange(min(m, n))
    mask[places, places] = 1  # stub: mask[0, places] = 1
    return mask


def always_full_rank(base_layer, r, random_seed=0, **kwargs):
    """Exactly r(m + n) ones, in random places, such that a delta there has full rank for every r."""
    shape = base_layer.weight.shape
    score = torch.rand(shape, generator=torch.Generator().manual_seed(random_seed))
    score.fill_diagonal_(2)  # stub: score[0, 0] = 2
    chosen = score.flatten().topk(num_params(r, shape)).indices
    mask = torch.zeros_like(base_layer.weight)
    mask.view(-1)[chosen] = 1
    return mask


SHAPES: list[Shape] = [(12, 18), (18, 12), (9, 9), (1, 7), (7, 1), (40, 13)]
FEWEST_TRIALS = [Trial(shape, torch.zeros(shape)) for shape in SHAPES]
TRIALS = [
    Trial.on_layer((24, 36), 1),
    Trial.on_layer((36, 24), 1, seed=1, random_seed=1),
    Trial.on_layer((24, 36), 2, torch.bfloat16, seed=2, random_seed=2),
    Trial.on_layer((40, 40), 1, torch.float16, seed=3, random_seed=3),
    Trial.on_layer((80, 10), 3, torch.float64, seed=4, random_seed=4),
    Trial.on_layer((30, 30), 14, seed=5, random_seed=5),
]


def _check_fewest(answer: Solution) -> Verdict:
    praise = "min(m, n) ones, no two in a row or column: full rank for every shape tried, and fewer cannot do it."
    return try_all(answer, fewest, FEWEST_TRIALS, _examine_fewest, praise)


def _examine_fewest(mask: Tensor, trial: Trial) -> None:
    full, ones, rank = min(trial.shape), int(mask.sum()), random_rank(mask)
    crowded = next(_crowded(mask), "")
    if ones < full:
        raise Wrong(f"{ones} ones give a rank of {rank} at most; full rank is {full}, and each one adds one at most.")
    if rank < full:
        raise Wrong(f"A random delta has rank {rank} there, not {full}: {crowded or _empty(mask)}.")
    if ones > full:
        raise Wrong(f"Full rank, but with {ones} ones where {full} do: {crowded}.")


def _check_always(answer: Solution) -> Verdict:
    praise = "Exactly r(m + n) ones and full rank, for every shape, r, dtype and seed tried."
    return try_all(answer, always_full_rank, TRIALS, _examine_always, praise)


def _examine_always(mask: Tensor, trial: Trial) -> None:
    full, k, ones = min(trial.shape), num_params(trial.r, trial.shape), int(mask.sum())
    if ones == min(k + full, mask.numel()):
        raise Wrong(f"{ones:,} ones are {full} more than r(m + n) = {k:,}: the diagonal counts, too.")
    if k - full <= ones < k and bool(mask.diagonal().all()):
        raise Wrong(
            f"{k - ones:,} of r(m + n) = {k:,} ones are missing: some positions were drawn that were ones already. "
            "Draw from the others."
        )
    check_count(mask, k)
    rank = random_rank(mask)
    if rank < full:
        raise Wrong(f"A random delta has rank {rank} there, not {full}: {_empty(mask)}.")


def _crowded(mask: Tensor) -> Iterator[str]:
    """Rows and columns with more than one entry, in words."""
    for line, along in (("row", 1), ("column", 0)):
        ones = mask.sum(along)
        for number in torch.nonzero(ones > 1).flatten().tolist():
            yield f"{line} {number} has {int(ones[number])} entries"


def _empty(mask: Tensor) -> str:
    """Why the rank is not full: empty lines on the shorter side, or few lines that cover everything."""
    line, ones = ("row", mask.sum(1)) if mask.shape[0] <= mask.shape[1] else ("column", mask.sum(0))
    empty = torch.nonzero(ones == 0).flatten().tolist()
    if not empty:
        return "few rows and columns cover all of its entries"
    named = " and ".join(map(str, empty)) if len(empty) < 3 else f"{empty[0]}, {empty[1]} and {len(empty) - 2} more"
    if len(empty) == 1:
        return f"{line} {named} has no entry and adds nothing to the rank"
    return f"{line}s {named} have no entry and add nothing to the rank"


FEWEST = Exercise(
    solution=fewest,
    check=_check_fewest,
    difficulty="easy",
    minutes=3,
    stub_says="A random delta has rank 1 there, not 12: row 0 has 12 entries. (Tried: a 12 x 18 weight.)",
)

ALWAYS_FULL_RANK = Exercise(
    solution=always_full_rank,
    check=_check_always,
    difficulty="medium",
    minutes=5,
    stub_says=(
        "A random delta has rank 22 there, not 24: rows 5 and 8 have no entry and add nothing to the rank. "
        "(Tried: a 24 x 36 weight, r=1, torch.float32.)"
    ),
)
