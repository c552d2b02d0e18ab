"""Published ways of sparse fine-tuning that are masks: each with exactly r(m + n) ones, in the place of its own budget.

Largest |W|, which Super-Tuning (arXiv 2607.09287) trains too, is :func:`~shira_lab.masks.magnitude_mask`. Methods that
choose positions again while they train are taken at their first choice.
"""

from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.errors import MaskError, check_positive
from shira_lab.masks.function import budget_of, built_in
from shira_lab.masks.positions import seeded, shape_of, weight_of
from shira_lab.masks.scores import finite, gradient_score, magnitude_score, top_positions, wanda_score


@built_in
def smallest_mask(base_layer: nn.Module, r: int, avoid: Tensor | None = None, **kwargs: Any) -> Tensor:
    """The r(m + n) smallest |W|, Super-Tuning's other choice; of equal ones, the first in row-major order.

    >>> layer = nn.Linear(4, 2)
    >>> layer.weight.data = torch.tensor([[9.0, -8, 1, 1], [7, -1, 6, 5]])
    >>> smallest_mask(layer, r=1)
    tensor([[0., 0., 1., 1.],
            [1., 1., 1., 1.]])
    """
    return _best(base_layer, r, -magnitude_score(base_layer), avoid)


@built_in
def lift_mask(
    base_layer: nn.Module, r: int, approximation_rank: int | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """LIFT (arXiv 2506.00772): the r(m + n) largest entries, in size, of W's best approximation of a low rank.

    With W = U diag(s) V^T the approximation of rank p is U[:, :p] diag(s[:p]) V[:, :p]^T, of shape (m, n).

    >>> layer = nn.Linear(4, 2)
    >>> layer.weight.data = torch.tensor([[9.0, -8, 1, 1], [7, -1, 6, 5]])
    >>> lift_mask(layer, r=1)
    tensor([[1., 1., 1., 1.],
            [1., 1., 0., 0.]])

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


@built_in
def wanda_mask(
    base_layer: nn.Module, r: int, input_norm: Tensor | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """Wanda (arXiv 2306.11695): the r(m + n) largest |W_ij| ||x_j||; of equal ones, the first in row-major order.

    Wanda keeps such entries when it prunes, so many in each row. Here all entries of the layer compete, as in the other
    masks.

    >>> layer = nn.Linear(4, 2)
    >>> layer.weight.data = torch.tensor([[9.0, -8, 1, 1], [7, -1, 6, 5]])
    >>> wanda_mask(layer, r=1, input_norm=torch.tensor([1.0, 1, 9, 1]))
    tensor([[1., 1., 1., 0.],
            [1., 0., 1., 1.]])

    Args:
        base_layer, r: a linear layer, and its budget r(m + n).
        input_norm: ||x_j|| of each input, shape (n,); :func:`shira_lab.calibrate` makes it from batches.
        avoid: a mask (m, n) of entries that stay out.

    Raises:
        MaskError: when the norms are missing, not finite, or not n.
    """
    return _best(base_layer, r, wanda_score(base_layer, input_norm), avoid)


@built_in
def columns_mask(
    base_layer: nn.Module, r: int, random_seed: int | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """PaCA (arXiv 2503.01905): random whole columns of W, all entries of some inputs; the last is cut at the budget.

    PaCA's rank r takes r columns, r m entries; the budget r(m + n) takes r(1 + n / m). So many is the rank of a delta
    at most.

    >>> columns_mask(nn.Linear(6, 4), r=1, random_seed=0)
    tensor([[1., 0., 0., 1., 1., 0.],
            [1., 0., 0., 1., 1., 0.],
            [0., 0., 0., 1., 1., 0.],
            [0., 0., 0., 1., 1., 0.]])

    Args:
        base_layer, r, random_seed, avoid: as for :func:`~shira_lab.masks.random_mask`.
    """
    m, n = shape_of(base_layer)
    order = torch.randperm(n, generator=seeded(random_seed))
    return _in_turn(base_layer, r, order.expand(m, n), avoid)


@built_in
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

    >>> gradient = torch.tensor([[1.0, 1, 5, 5, 9, 9], [1, 1, 5, 5, 9, 9], [8, 8, 0, 0, 2, 2], [8, 8, 0, 0, 2, 2]])
    >>> gradient_block_mask(nn.Linear(6, 4), r=1, gradient=gradient, block_size=2)
    tensor([[0., 0., 1., 1., 1., 1.],
            [0., 0., 0., 0., 1., 1.],
            [1., 1., 0., 0., 0., 0.],
            [1., 1., 0., 0., 0., 0.]])

    Args:
        base_layer, r, gradient, avoid: as for :func:`~shira_lab.masks.gradient_mask`.
        block_size: rows and columns of a block.

    Raises:
        MaskError: when there is no gradient, or ``block_size`` is no positive integer.
    """
    check_positive(block_size, "block_size", MaskError)
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
