"""Magnitude masks that keep a high rank where plain magnitude collapses.

The largest |W| of a weight with a few large columns lie in these columns, and c columns carry a rank of c at most. Each
mask here still ranks by magnitude and still has exactly r(m + n) ones, but does not let a few columns take all of
them: some entries are set before the others are ranked, or columns are made comparable. None is from the paper. Make
one a mask type with ``register_mask("name")(mask_fn)``.
"""

from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.masks.function import MaskFunction, budget_of
from shira_lab.masks.positions import weight_of
from shira_lab.masks.scores import finite, top_positions


@MaskFunction
def diagonal_magnitude_mask(base_layer: nn.Module, r: int, **kwargs: Any) -> Tensor:
    """The diagonal, then the largest |W| elsewhere: the diagonal alone allows full rank, min(m, n)."""
    magnitude = _magnitude(base_layer)
    magnitude.diagonal().fill_(torch.inf)
    return top_positions(magnitude, budget_of(base_layer, r))


@MaskFunction
def column_magnitude_mask(base_layer: nn.Module, r: int, **kwargs: Any) -> Tensor:
    """The floor(k/n) largest |W| of each column; what is left of the budget k goes to the largest |W| elsewhere."""
    magnitude = _magnitude(base_layer)
    return _with_quota(magnitude, magnitude.T, budget_of(base_layer, r))


@MaskFunction
def row_magnitude_mask(base_layer: nn.Module, r: int, **kwargs: Any) -> Tensor:
    """The floor(k/m) largest |W| of each row, then as above. It does not help: all rows pick the same large columns."""
    magnitude = _magnitude(base_layer)
    return _with_quota(magnitude, magnitude, budget_of(base_layer, r))


@MaskFunction
def normalised_magnitude_mask(base_layer: nn.Module, r: int, **kwargs: Any) -> Tensor:
    """The largest |W_ij| / ||W_:j||: each column is measured by its own scale. Columns of zeros come last."""
    magnitude = _magnitude(base_layer)
    norms = torch.linalg.vector_norm(magnitude, dim=0)
    return top_positions(magnitude / torch.where(norms > 0, norms, 1), budget_of(base_layer, r))


def _magnitude(base_layer: nn.Module) -> Tensor:
    """|W|, at least in float32: norms of half precision overflow."""
    weight = weight_of(base_layer).detach()
    return finite(weight.to(torch.promote_types(weight.dtype, torch.float32)).abs(), "|W|")


def _with_quota(magnitude: Tensor, lines: Tensor, k: int) -> Tensor:
    """As many of the largest entries of each line as k allows, then the largest of all others.

    ``lines`` (lines, entries) is a view of ``magnitude``. Of equal entries the first of a line count.
    """
    quota = k // len(lines)
    smallest = lines.topk(quota, dim=1).values[:, -1:]
    above, equal = lines > smallest, lines == smallest
    missing = quota - above.sum(dim=1, keepdim=True)
    lines[above | (equal & (equal.cumsum(dim=1) <= missing))] = torch.inf
    return top_positions(magnitude, k)
