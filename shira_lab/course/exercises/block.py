"""The exercise "block with the exact remainder": random blocks that meet the budget r(m + n) to the last entry.

The block mask that the learner starts from is the one of SHiRA's description: it takes whole blocks only. With 16 x 16
blocks that leaves out up to 255 entries, and the far edges of a weight whose sides are no multiples of 16.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from shira_lab.budget import num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.trials import Trial, Wrong, check_count, try_all


def block(base_layer, r, block_size=16, random_seed=0, **kwargs):
    """Random blocks, cut at the edges of the weight; the last one is cut at the budget."""
    m, n = base_layer.weight.shape
    k = num_params(r, (m, n))
    down, across = -(-m // block_size), -(-n // block_size)  # stub: down, across = m // block_size, n // block_size
    order = torch.randperm(down * across, generator=torch.Generator().manual_seed(random_seed)).tolist()
    mask = torch.zeros_like(base_layer.weight)
    for number in order:  # stub: for number in order[: k // block_size**2]:
        top, left = number // across * block_size, number % across * block_size
        here = mask[top : top + block_size, left : left + block_size]
        places = torch.arange(here.numel()).view(here.shape)  # stub: -
        here[places < k] = 1  # stub: here[:] = 1
        k -= here.numel()  # stub: -
    return mask


USUAL = 16  # the block size where none is given
TRIALS = [
    Trial.on_layer((48, 64), 3),
    Trial.on_layer((48, 64), 3, random_seed=1),
    Trial.on_layer((32, 96), 1, torch.float16, random_seed=2),
    Trial.on_layer((40, 56), 10, random_seed=3),
    Trial.on_layer((40, 56), 23, torch.bfloat16, random_seed=4),
    Trial.on_layer((10, 14), 2, random_seed=5),
    Trial.on_layer((30, 20), 4, torch.float64, block_size=8, random_seed=6),
]


def _check(answer: Solution) -> Verdict:
    praise = "Exactly r(m + n) ones in whole blocks but for the last, for every shape, r, block size and seed tried."
    verdict = try_all(answer, block, TRIALS, _examine, praise)
    if verdict.passed and torch.equal(*(trial.mask_of(answer) for trial in TRIALS[:2])):
        return Verdict(False, "The seeds 0 and 1 give the same mask: does `random_seed` reach the generator?")
    return verdict


@dataclass(frozen=True)
class Tile:
    """One block of the weight: how many entries it has, and how many of them are ones."""

    row: int
    column: int
    entries: int
    ones: int


def _tiles(mask: Tensor, side: int) -> list[Tile]:
    m, n = mask.shape
    return [
        Tile(top // side, left // side, here.numel(), int(here.sum()))
        for top in range(0, m, side)
        for left in range(0, n, side)
        for here in [mask[top : top + side, left : left + side]]
    ]


def _examine(mask: Tensor, trial: Trial) -> None:
    (m, n), side = trial.shape, trial.options.get("block_size", USUAL)
    k, ones = num_params(trial.r, (m, n)), int(mask.sum())
    touched = [tile for tile in _tiles(mask, side) if tile.ones]
    cut = [tile for tile in touched if tile.ones < tile.entries]
    short_of_whole_blocks = ones < k and all(tile.entries == side**2 for tile in touched)
    if short_of_whole_blocks and ones == k // side**2 * side**2:
        raise Wrong(
            f"The last block is missing: r(m + n) = {k:,} is no multiple of {side}^2 = {side**2}, and whole blocks "
            f"place {ones:,} of them. Begin one block more, and fill it with the {k - ones} that are left."
        )
    if short_of_whole_blocks and (m % side or n % side):
        raise Wrong(
            f"The far edges are never used: {m} // {side} and {n} // {side} round down, and {k - ones:,} ones are "
            f"missing. Round up, -(-m // {side}); the blocks at the edges are smaller."
        )
    if ones < k and ones + sum(side**2 - tile.entries for tile in touched) >= k:
        raise Wrong(
            f"{k - ones:,} ones are missing: a block at the edge has fewer than {side}^2 entries. Count what was "
            "really set."
        )
    if ones > k and not cut and ones - k < side**2:
        raise Wrong(f"The last block is not cut: {ones:,} ones instead of r(m + n) = {k:,}, {ones - k} are too many.")
    check_count(mask, k)
    if len(cut) > 1 and sum(0 < tile.ones < tile.entries for tile in _tiles(mask, USUAL)) <= 1:
        raise Wrong(f"The blocks are {USUAL} x {USUAL}, not {side} x {side}: does `block_size` reach them?")
    if len(cut) > 1:
        raise Wrong(
            f"{len(cut)} blocks are filled in part, for instance block ({cut[0].row}, {cut[0].column}) with "
            f"{cut[0].ones} of {cut[0].entries}. Only the last one may be: keep the remainder in one block."
        )


BLOCK = Exercise(
    solution=block,
    check=_check,
    difficulty="medium",
    minutes=10,
    stub_says=(
        "The last block is missing: r(m + n) = 336 is no multiple of 16^2 = 256, and whole blocks place 256 of them. "
        "Begin one block more, and fill it with the 80 that are left. (Tried: a 48 x 64 weight, r=3, torch.float32.)"
    ),
)
