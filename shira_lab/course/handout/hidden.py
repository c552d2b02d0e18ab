"""Hidden tests: each tries an answer on inputs that a seed draws, and says whether it is right for all of them.

They ask for what the exercise's text promises, and for no more than that: where several answers are right, for the
properties that they share. What the answer should be is worked out here anew, or by the solution.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.adapters.config import ShiraConfig
from shira_lab.budget import Shape, max_r, num_params
from shira_lab.course.exercises import EXERCISES
from shira_lab.course.exercises.looking import random_rank
from shira_lab.course.exercises.own_way import examine
from shira_lab.course.exercises.scales import NEAR, Pair
from shira_lab.course.exercises.speed import Largest
from shira_lab.course.exercises.trials import Wrong
from shira_lab.course.handout.hidden_build import BUILD, Hidden
from shira_lab.course.masks.heavy_tails import heavy_tailed_layer
from shira_lab.masks import magnitude_mask, random_mask, row_col_mask

#: How many inputs each test draws.
DRAWS = 8


def _always(one: Hidden) -> Hidden:
    """The test that asks for ``one`` on every draw."""
    return lambda answer, dice: all([one(answer, dice) for _ in range(DRAWS)])


def _layer(dice: Random, *sides: int) -> nn.Linear:
    """A layer with sides from 24 to 64, or those given, and normally distributed weights."""
    m, n = sides or (dice.randint(24, 64), dice.randint(24, 64))
    layer = nn.Linear(n, m, bias=False).requires_grad_(False)
    layer.weight.copy_(torch.randn(m, n, generator=_generator(dice)))
    return layer


def _shape(matrix: Tensor) -> Shape:
    m, n = matrix.shape
    return m, n


def _generator(dice: Random) -> torch.Generator:
    return torch.Generator().manual_seed(dice.randrange(2**31))


def _solved(name: str, answer: Any, *arguments: Any) -> bool:
    """Whether the answer gives what the solution gives."""
    return bool(answer(*arguments) == EXERCISES[name].solution(*arguments))


def _has_full_rank(mask: Tensor, k: int) -> bool:
    return int(mask.count_nonzero()) == k and random_rank(mask) == min(mask.shape)


def _full_rank(answer: Any, dice: Random) -> bool:
    layer, r = _layer(dice), dice.randint(2, 5)
    return _has_full_rank(answer(layer, r), num_params(r, _shape(layer.weight)))


def _disjoint(answer: Any, dice: Random) -> bool:
    layer, seed = _layer(dice), dice.randrange(1000)
    taken = dice.choice((random_mask(layer, 3, random_seed=seed), row_col_mask(layer, 3, random_seed=seed)))
    masks = [answer(layer, 2, taken, seed + more) for more in range(2)]
    k = num_params(2, _shape(layer.weight))
    right = all(int(mask.count_nonzero()) == k and not bool((mask * taken).any()) for mask in masks)
    return right and not torch.equal(*masks)


def _largest_r(answer: Any, dice: Random) -> bool:
    shapes = [(dice.choice((64, 192, 768)), dice.choice((64, 256, 1024))) for _ in range(dice.randint(1, 12))]
    return _solved("largest_r", answer, shapes, dice.randint(10_000, 30_000_000))


def _rank_bound(answer: Any, dice: Random) -> bool:
    mask = torch.zeros(dice.randint(6, 30), dice.randint(6, 30))
    mask.view(-1)[torch.randperm(mask.numel(), generator=_generator(dice))[: dice.randint(4, 12)]] = 1
    return _solved("rank_bound", answer, mask)


def _repaired_magnitude(answer: Any, dice: Random) -> bool:
    layer = heavy_tailed_layer((dice.randint(64, 128), dice.randint(64, 128)), 1.0, dice.randrange(2**31))
    mask, k = answer(layer, 4), num_params(4, _shape(layer.weight))
    return _has_full_rank(mask, k) and float((mask * magnitude_mask(layer, 4)).sum()) >= k / 2


def _compare_seeds(answer: Any, dice: Random) -> bool:
    first, second = ([round(dice.gauss(0.8, 0.05), 2) for _ in range(dice.randint(2, 5))] for _ in range(2))
    shifts = (-1.0, 0.0, 1.0)
    return all(_solved("compare_seeds", answer, [value + shift for value in first], second) for shift in shifts)


def _fair_race(answer: Any, dice: Random) -> bool:
    rates, methods, seeds = [10.0**-power for power in range(4)], ["A", "B", "C", "D"], [4, 5, 6]
    excess = {(method, rate): dice.random() for method in methods for rate in rates}

    def run(method: str, rate: float, seed: int) -> float:
        return excess[method, rate] + seed / 100

    return _solved("fair_race", answer, methods, rates, 9, seeds, run)


def _best_scales(answer: Any, dice: Random) -> bool:
    harm = dice.uniform(2, 9), dice.uniform(2, 9)
    mine, solved = (
        max(pair.excess(*one(pair.measure)))
        for one, pair in ((answer, Pair("drawn", harm)), (EXERCISES["best_scales"].solution, Pair("drawn", harm)))
    )
    return mine <= solved + NEAR


def _opposed(answer: Any, dice: Random) -> bool:
    m, n = dice.randint(5, 30), dice.randint(5, 30)
    k = dice.randint(1, m * n // 2)
    gradients = torch.stack([gradient.double() for gradient in answer(m, n, k)])
    if gradients.shape != (2, m, n):
        return False
    chosen = (score.flatten().topk(k).indices.tolist() for score in (gradients.abs().mean(0), gradients.mean(0).abs()))
    return not set(next(chosen)) & set(next(chosen))


def _magnitude(answer: Any, dice: Random) -> bool:
    layer, r = _layer(dice), dice.randint(1, 6)
    return torch.equal(answer(layer, r).bool(), magnitude_mask(layer, r).bool())


def _block(answer: Any, dice: Random) -> bool:
    """At a small r, and at the largest, which needs the blocks at the edges."""
    layer, seed, side = _layer(dice), dice.randrange(1000), dice.choice((4, 8, 16))
    shape, right = _shape(layer.weight), True
    for r in (dice.randint(1, 4), max_r(shape)):
        mask = answer(layer, r, block_size=side, random_seed=seed).bool()
        tiles = [tile for rows in mask.split(side) for tile in rows.split(side, dim=1)]
        cut = [tile for tile in tiles if tile.any() and not tile.all()]
        right &= int(mask.sum()) == num_params(r, shape) and len(cut) <= 1
    return right


def _fewest(answer: Any, dice: Random) -> bool:
    m, n = dice.randint(2, 40), dice.randint(2, 40)
    return _has_full_rank(answer(m, n), min(m, n))


def _always_full_rank(answer: Any, dice: Random) -> bool:
    """At r = 1, where chance alone leaves rows and columns empty."""
    layer = _layer(dice)
    mask = answer(layer, 1, random_seed=dice.randrange(1000))
    return _has_full_rank(mask, num_params(1, _shape(layer.weight)))


def _own_masks(answer: Any, dice: Random) -> bool:
    layers, seed = [_layer(dice, 20, 30) for _ in range(3)], dice.randrange(1000)
    first, again, other = (
        [mask_fn(layer, 2, random_seed=0).bool() for layer in layers] for mask_fn in map(answer, (seed, seed, seed + 1))
    )
    same = all(map(torch.equal, first, again)) and not all(map(torch.equal, first, other))
    different = not any(torch.equal(first[i], first[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    return same and different and all(int(mask.sum()) == 100 for mask in first)


def _exact_merge(answer: Any, dice: Random) -> bool:
    dtype, generator = dice.choice((torch.bfloat16, torch.float16, torch.float32)), _generator(dice)
    weight = torch.randn(dice.randint(5, 30), dice.randint(5, 30), generator=generator).to(dtype)
    positions = torch.randperm(weight.numel(), generator=generator)[:20]
    values, before = torch.randn(20, generator=generator).to(dtype), weight.clone()
    merged = before.view(-1)[positions] + values
    unmerge = answer(weight, positions, values)
    added = torch.equal(weight.view(-1)[positions], merged)
    unmerge()
    return added and torch.equal(weight, before)


def _second_config(answer: Any, dice: Random) -> bool:
    first = ShiraConfig(dice.randint(1, 16), ["q", "v"], random_seed=dice.randrange(1000))
    before = first.copy()
    second = answer(first)
    same = (second.r, second.target_modules) == (first.r, first.target_modules)
    return same and first == before and second.random_seed != first.random_seed


def _fuse(answer: Any, dice: Random) -> bool:
    generator = _generator(dice)
    weight = torch.randn(6, 7, generator=generator, dtype=torch.float64)
    expected, before, adapters, scales = weight.clone(), weight.clone(), [], [dice.uniform(-2, 2) for _ in range(3)]
    for scale in scales:
        positions = torch.randperm(weight.numel(), generator=generator)[:20]
        values = torch.randn(20, generator=generator, dtype=torch.float64)
        adapters.append((positions, values))
        expected.view(-1)[positions] += scale * values
    return torch.allclose(answer(weight, adapters, scales), expected) and torch.equal(weight, before)


def _sampled_gradient(answer: Any, dice: Random) -> bool:
    generator, m, n = _generator(dice), dice.randint(40, 90), dice.randint(40, 90)
    g, x = (torch.randn(3, side, generator=generator) for side in (m, n))
    positions = torch.randperm(m * n, generator=generator)[:30].sort().values
    with Largest() as largest:
        found = answer(g, x, positions)
    return torch.allclose(found, (g.t() @ x).flatten()[positions], atol=1e-5) and largest.numel < m * n


def _my_way(answer: Any, dice: Random) -> bool:
    """At larger shapes and r than the visible test has."""
    layer = _layer(dice).requires_grad_(False)
    try:
        examine(answer, layer, 2 * dice.randint(3, 5))
    except Wrong:
        return False
    return True


HIDDEN: dict[str, Callable[[Any, Random], bool]] = {
    "full_rank": _always(_full_rank),
    "disjoint": _always(_disjoint),
    "largest_r": _always(_largest_r),
    "rank_bound": _always(_rank_bound),
    "repaired_magnitude": _always(_repaired_magnitude),
    "compare_seeds": _always(_compare_seeds),
    "fair_race": _always(_fair_race),
    "opposed": _always(_opposed),
    "magnitude": _always(_magnitude),
    "block": _always(_block),
    "fewest": _always(_fewest),
    "always_full_rank": _always(_always_full_rank),
    "own_masks": _always(_own_masks),
    "exact_merge": _always(_exact_merge),
    "second_config": _always(_second_config),
    "fuse": _always(_fuse),
    "best_scales": _always(_best_scales),
    "sampled_gradient": _always(_sampled_gradient),
    **BUILD,
    "MyWay": _always(_my_way),
}
