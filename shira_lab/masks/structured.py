"""Structured masks: the diagonal, rows and columns, blocks.

Struct is the paper's ("Sparse High Rank Adapters", arXiv 2406.13175, section 3.1); block and row_col are two that
learners ask for.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.budget import Shape
from shira_lab.errors import MaskError, check_positive
from shira_lab.masks.function import budget_of, built_in
from shira_lab.masks.positions import from_mask, seeded, shape_of, weight_of


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
        base_layer, r, random_seed, avoid: as for :func:`~shira_lab.masks.builtin.random_mask`.
        block_size: rows and columns of a block.
    """
    check_positive(block_size, "block_size", MaskError)
    m, n = shape_of(base_layer)
    across = -(-n // block_size)
    order = torch.randperm(-(-m // block_size) * across, generator=seeded(random_seed))

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
        base_layer, r, random_seed, avoid: as for :func:`~shira_lab.masks.builtin.random_mask`.
    """
    m, n = shape_of(base_layer)
    generator = seeded(random_seed)
    rows, columns = torch.randperm(m, generator=generator), torch.randperm(n, generator=generator)
    return _structured(base_layer, r, _rows_and_columns(rows, columns, (m, n)), avoid)


def fill(groups: Iterable[Tensor], shape: Shape, k: int, avoid: Tensor | None = None) -> Tensor:
    """Sorted positions of the first ``k`` distinct entries of ``groups``, taken in order; the last group is cut.

    This is the one rule by which structured masks meet the budget exactly, for every shape and r.

    >>> fill([torch.tensor([0, 1]), torch.tensor([1, 2, 3])], (2, 2), 3)
    tensor([0, 1, 2])

    Args:
        groups: flat positions, such as those of a row or a block.
        shape: (m, n) of the weight.
        k: how many positions to take.
        avoid: a mask (m, n) of entries that are passed over.
    """
    mask = torch.zeros(shape[0] * shape[1], dtype=torch.bool)
    passed = mask.clone() if avoid is None else avoid.flatten().cpu() != 0
    left = k
    for group in groups:
        new = group[~(mask[group] | passed[group])][:left]
        mask[new] = True
        left -= new.numel()
        if left == 0:
            break
    return from_mask(mask)


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
