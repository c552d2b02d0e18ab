"""Masks drawn by hand: a picture of a few cells is stretched over the weight and brought to the exact budget.

One rule does both, thinning and filling. The paint grows by one cell on all sides, ring after ring, until r(m + n)
entries lie under it; of the last ring, where not all are needed, a seeded random choice is taken. Too much paint is
thinned where it lies, as it is ring 0; too little is surrounded; no paint at all gives a random mask.
"""

from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.masks.function import MaskFn, budget_of
from shira_lab.masks.positions import shape_of, to_mask, weight_of


def rings(cells: Tensor) -> Tensor:
    """How far each cell of a drawing (a, b) lies from the paint: 0 on it, 1 next to it (corners too), and so on.

    Without paint, all cells are 0.
    """
    ring = torch.zeros(cells.shape, dtype=torch.int64)
    paint = cells[None].float()
    while paint.any() and not paint.all():
        ring += paint[0] == 0
        paint = torch.nn.functional.max_pool2d(paint, kernel_size=3, stride=1, padding=1)
    return ring


def stretched(picture: Tensor, shape: tuple[int, int]) -> Tensor:
    """A picture (a, b) over a weight of ``shape`` (m, n): each entry takes the value of the cell under its centre."""
    (a, b), (m, n) = picture.shape, shape
    rows = (2 * torch.arange(m) + 1) * a // (2 * m)
    columns = (2 * torch.arange(n) + 1) * b // (2 * n)
    return picture[rows[:, None], columns]


def drawn_positions(cells: Tensor, shape: tuple[int, int], k: int, seed: int) -> Tensor:
    """The sorted positions (k,) that a drawing of painted ``cells`` (a, b) gives a weight of ``shape`` (m, n).

    The paint grows ring after ring until k entries lie under it; of the last ring, a seeded random choice is taken.
    With the same seed, the positions for a smaller k lie inside those for a larger one.
    """
    ring = stretched(rings(cells), shape).flatten()
    last = int((ring.bincount().cumsum(0) < k).sum())
    inside = (ring < last).nonzero().flatten()
    edge = (ring == last).nonzero().flatten()
    order = torch.randperm(len(edge), generator=torch.Generator().manual_seed(seed))
    return torch.cat([inside, edge[order[: k - len(inside)]]]).sort().values


def drawn_mask(cells: Tensor, seed: int = 0) -> MaskFn:
    """The mask function of a drawing, for ``register_mask`` or ``config.mask_fn``; any r and any layer will do."""

    def mask_fn(base_layer: nn.Module, r: int, **kwargs: Any) -> Tensor:
        positions = drawn_positions(cells, shape_of(base_layer), budget_of(base_layer, r), seed)
        return to_mask(positions, weight_of(base_layer))

    return mask_fn
