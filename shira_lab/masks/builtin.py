"""The built-in masks: where the r(m + n) trained entries lie.

Random, magnitude (the paper's WM), gradient, SNIP and struct are those of "Sparse High Rank Adapters" (arXiv
2406.13175, section 3.1); block and row_col are two that learners ask for. Each has exactly r(m + n) ones for every
legal r. A mask ``avoid`` of the weight's shape says which entries are taken already, say by another adapter: they stay
out, and the count is still exact. All take ``**kwargs`` and ignore what they do not know, because PEFT hands its mask
functions more than they need. :mod:`shira_lab.minimal` has two of them in their plain form.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.errors import MaskError
from shira_lab.masks.function import budget_of, built_in
from shira_lab.masks.positions import (
    draw_seed,
    fill,
    from_mask,
    random_positions,
    seeded,
    shape_of,
    top_positions,
    weight_of,
)
from shira_lab.masks.scores import gradient_score, magnitude_score, snip_score


@built_in
def random_mask(
    base_layer: nn.Module, r: int, random_seed: int | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """Rand: r(m + n) positions, uniform without replacement; a seed gives PEFT's mask bit for bit.

    The mask of a smaller r lies inside that of a larger one.

    >>> random_mask(nn.Linear(4, 4), r=1, random_seed=0)
    tensor([[0., 0., 0., 0.],
            [0., 1., 1., 0.],
            [1., 1., 1., 1.],
            [1., 1., 0., 0.]])

    Args:
        base_layer, r: a linear layer, and its budget r(m + n).
        random_seed: None draws one from torch's global generator.
        avoid: a mask (m, n) of entries that stay out.
    """
    seed = draw_seed() if random_seed is None else random_seed
    k = budget_of(base_layer, r, avoid)
    if avoid is None:
        return random_positions(shape_of(base_layer), k, seed)
    free = from_mask(avoid == 0)
    return free[random_positions((1, free.numel()), k, seed).to(free.device)]


@built_in
def magnitude_mask(base_layer: nn.Module, r: int, avoid: Tensor | None = None, **kwargs: Any) -> Tensor:
    """WM: the r(m + n) largest |W|; of equal ones, the first in row-major order.

    >>> layer = nn.Linear(4, 2)
    >>> layer.weight.data = torch.tensor([[9.0, -8, 1, 1], [7, -1, 6, 5]])
    >>> magnitude_mask(layer, r=1)
    tensor([[1., 1., 1., 0.],
            [1., 0., 1., 1.]])
    """
    return _largest(base_layer, r, magnitude_score(base_layer), avoid)


@built_in
def gradient_mask(
    base_layer: nn.Module, r: int, gradient: Tensor | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """Grad: the r(m + n) largest |G| of a calibrated gradient G; of equal ones, the first in row-major order.

    >>> gradient_mask(nn.Linear(4, 2), r=1, gradient=torch.tensor([[9.0, -8, 1, 1], [7, -1, 6, 5]]))
    tensor([[1., 1., 1., 0.],
            [1., 0., 1., 1.]])

    Args:
        base_layer, r, avoid: as for :func:`random_mask`.
        gradient: shape of the weight; :func:`shira_lab.calibrate` makes it from batches, as mean |g| or |mean g|. None
            takes ``base_layer.weight.grad`` of your own backward pass.
    """
    return _largest(base_layer, r, gradient_score(base_layer, gradient), avoid)


@built_in
def snip_mask(
    base_layer: nn.Module, r: int, gradient: Tensor | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """SNIP: the r(m + n) largest |W * G|, the first-order change of the loss when an entry is set to zero.

    >>> layer = nn.Linear(4, 2)
    >>> layer.weight.data = torch.arange(8.0).view(2, 4)
    >>> snip_mask(layer, r=1, gradient=1 / (1 + layer.weight) ** 2)
    tensor([[0., 1., 1., 1.],
            [1., 1., 1., 0.]])

    Args:
        base_layer, r, gradient, avoid: as for :func:`gradient_mask`.
    """
    return _largest(base_layer, r, snip_score(base_layer, gradient), avoid)


@built_in
def struct_mask(base_layer: nn.Module, r: int, avoid: Tensor | None = None, **kwargs: Any) -> Tensor:
    """Struct: the diagonal, then whole rows and columns in turn, spread evenly; the last line is cut at the budget.

    The diagonal alone makes a delta of full rank possible. The paper leaves the spacing open: lines come in the order
    of bit-reversed indices, so that any number of them is spread evenly and a smaller r lies inside a larger one.

    >>> struct_mask(nn.Linear(6, 4), r=1)
    tensor([[1., 1., 1., 1., 1., 1.],
            [1., 1., 0., 0., 0., 0.],
            [0., 0., 1., 0., 0., 0.],
            [0., 0., 0., 1., 0., 0.]])
    """
    m, n = shape_of(base_layer)
    diagonal = torch.arange(min(m, n)) * (n + 1)
    lines = _rows_and_columns(_spread(m), _spread(n), (m, n))
    return _structured(base_layer, r, _chain(diagonal, lines), avoid)


@built_in
def block_mask(
    base_layer: nn.Module,
    r: int,
    block_size: int = 16,
    random_seed: int | None = None,
    avoid: Tensor | None = None,
    **kwargs: Any,
) -> Tensor:
    """Random ``block_size`` x ``block_size`` blocks, smaller at the far edges; the last block is cut at the budget.

    >>> block_mask(nn.Linear(6, 4), r=1, block_size=2, random_seed=0)
    tensor([[0., 0., 0., 0., 1., 1.],
            [0., 0., 0., 0., 1., 1.],
            [1., 1., 0., 0., 1., 1.],
            [0., 0., 0., 0., 1., 1.]])

    Args:
        base_layer, r, random_seed, avoid: as for :func:`random_mask`.
        block_size: rows and columns of a block.
    """
    if isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 1:
        raise MaskError(f"`block_size` should be a positive integer; got {block_size!r}.")
    m, n = shape_of(base_layer)
    across = -(-n // block_size)
    generator = seeded(draw_seed() if random_seed is None else random_seed)
    order = torch.randperm(-(-m // block_size) * across, generator=generator)

    def blocks() -> Iterator[Tensor]:
        for block in order.tolist():
            top, left = block // across * block_size, block % across * block_size
            rows = torch.arange(top, min(top + block_size, m))
            columns = torch.arange(left, min(left + block_size, n))
            yield rows[:, None] * n + columns

    return _structured(base_layer, r, blocks(), avoid)


@built_in
def row_col_mask(
    base_layer: nn.Module, r: int, random_seed: int | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """Random whole rows and columns in turn; the last line is cut at the budget.

    The rank of a delta is at most the number of lines that cover it, here little more than 2r: hardly above LoRA's.

    >>> row_col_mask(nn.Linear(6, 4), r=1, random_seed=0)
    tensor([[1., 1., 1., 1., 1., 1.],
            [1., 1., 0., 0., 0., 0.],
            [1., 0., 0., 0., 0., 0.],
            [1., 0., 0., 0., 0., 0.]])

    Args:
        base_layer, r, random_seed, avoid: as for :func:`random_mask`.
    """
    m, n = shape_of(base_layer)
    generator = seeded(draw_seed() if random_seed is None else random_seed)
    rows, columns = torch.randperm(m, generator=generator), torch.randperm(n, generator=generator)
    return _structured(base_layer, r, _rows_and_columns(rows, columns, (m, n)), avoid)


def _largest(base_layer: nn.Module, r: int, score: Tensor, avoid: Tensor | None) -> Tensor:
    k = budget_of(base_layer, r, avoid)
    return top_positions(score if avoid is None else score.masked_fill(avoid != 0, -1), k)  # scores are not negative


def _structured(base_layer: nn.Module, r: int, groups: Iterator[Tensor], avoid: Tensor | None) -> Tensor:
    k = budget_of(base_layer, r, avoid)
    return fill(groups, shape_of(base_layer), k, avoid).to(weight_of(base_layer).device)


def _chain(first: Tensor, rest: Iterator[Tensor]) -> Iterator[Tensor]:
    yield first
    yield from rest


def _rows_and_columns(rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> Iterator[Tensor]:
    """A row, a column, a row, ... in the given orders, until one kind has run out: all entries are covered then."""
    m, n = shape
    for row, column in zip(rows, columns, strict=False):
        yield row * n + torch.arange(n)
        yield torch.arange(m) * n + column


def _spread(count: int) -> Tensor:
    """0 .. count-1 in bit-reversed order (van der Corput): every prefix covers the range evenly."""
    bits = max(1, (count - 1).bit_length())
    index = torch.arange(2**bits)
    reversed_ = sum(((index >> b) & 1) << (bits - 1 - b) for b in range(bits))
    assert isinstance(reversed_, Tensor)
    return reversed_[reversed_ < count]
