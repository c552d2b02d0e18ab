"""Published ways of sparse fine-tuning that are masks: each with exactly r(m + n) ones, in the place of its own budget.

Largest |W|, which Super-Tuning (arXiv 2607.09287) trains too, is :func:`~shira_lab.masks.magnitude_mask`. Methods that
choose positions again while they train are taken at their first choice.
"""

from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.errors import MaskError
from shira_lab.masks.builtin import check_block_size
from shira_lab.masks.function import MaskFunction, budget_of
from shira_lab.masks.positions import finite, shape_of, top_positions, weight_of
from shira_lab.masks.random import draw_seed, seeded
from shira_lab.masks.scores import gradient_score, magnitude_score


@MaskFunction
def smallest_mask(base_layer: nn.Module, r: int, avoid: Tensor | None = None, **kwargs: Any) -> Tensor:
    """The r(m + n) smallest |W|, Super-Tuning's other choice; of equal ones, the first in row-major order."""
    return _best(base_layer, r, -magnitude_score(base_layer), avoid)


@MaskFunction
def lift_mask(
    base_layer: nn.Module, r: int, approximation_rank: int | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """LIFT (arXiv 2506.00772): the r(m + n) largest entries, in size, of W's best approximation of a low rank.

    With W = U diag(s) V^T the approximation of rank p is U[:, :p] diag(s[:p]) V[:, :p]^T, of shape (m, n).

    Args:
        base_layer, r: a linear layer, and its budget r(m + n).
        approximation_rank: p, from 1 to min(m, n); None takes r.
        avoid: a mask (m, n) of entries that stay out.

    Raises:
        MaskError: when p is none of these, or W is not finite.
    """
    weight = finite(weight_of(base_layer).detach(), "W")
    rank, most = r if approximation_rank is None else approximation_rank, min(weight.shape)
    if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= most:
        raise MaskError(f"`approximation_rank` should be from 1 to min(m, n) = {most}; got {approximation_rank!r}.")
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    u, s, vh = torch.linalg.svd(wide, full_matrices=False)
    return _best(base_layer, r, ((u[:, :rank] * s[:rank]) @ vh[:rank]).abs(), avoid)


@MaskFunction
def columns_mask(
    base_layer: nn.Module, r: int, random_seed: int | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """PaCA (arXiv 2503.01905): random whole columns of W, all entries of some inputs; the last is cut at the budget.

    PaCA's rank r takes r columns, r m entries; the budget r(m + n) takes r(1 + n / m). So many is the rank of a delta
    at most.
    """
    m, n = shape_of(base_layer)
    order = torch.randperm(n, generator=seeded(draw_seed() if random_seed is None else random_seed))
    return _in_turn(base_layer, r, order.expand(m, n), avoid)


@MaskFunction
def gradient_block_mask(
    base_layer: nn.Module,
    r: int,
    gradient: Tensor | None = None,
    block_size: int = 16,
    avoid: Tensor | None = None,
    **kwargs: Any,
) -> Tensor:
    """SMT (ICLR 2025): the blocks with the largest mean |G|; the last one is cut at the budget.

    SMT's own blocks are 256 x 256, for weights of several thousand rows. At the far edges blocks are smaller; of blocks
    with one mean, the first go first.

    Args:
        base_layer, r: a linear layer, and its budget r(m + n).
        gradient: as for :func:`~shira_lab.masks.gradient_mask`.
        block_size: rows and columns of a block.
        avoid: a mask (m, n) of entries that stay out.

    Raises:
        MaskError: when there is no gradient, or ``block_size`` is no positive integer.
    """
    check_block_size(block_size)
    score = gradient_score(base_layer, gradient)
    m, n = shape_of(base_layer)
    means = nn.functional.avg_pool2d(score.double()[None], block_size, ceil_mode=True)[0]
    turn = means.flatten().argsort(descending=True, stable=True).argsort().view(means.shape)
    turns = turn.repeat_interleave(block_size, 0)[:m].repeat_interleave(block_size, 1)[:, :n]
    return _in_turn(base_layer, r, turns, avoid)


def _in_turn(base_layer: nn.Module, r: int, turns: Tensor, avoid: Tensor | None) -> Tensor:
    """Groups of entries one after the other: ``turns`` (m, n) says which place the group of each entry has."""
    return _best(base_layer, r, -turns.to(weight_of(base_layer).device, torch.float64), avoid)


def _best(base_layer: nn.Module, r: int, score: Tensor, avoid: Tensor | None) -> Tensor:
    k = budget_of(base_layer, r, avoid)
    return top_positions(score if avoid is None else score.masked_fill(avoid != 0, -torch.inf), k)
