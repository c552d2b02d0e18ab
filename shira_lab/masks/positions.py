"""A mask, kept as what it is: the sorted flat positions of its ones.

Position ``p`` of an (m, n) weight is row ``p // n``, column ``p % n``: the row-major order in which PEFT stores
``shira_indices``. Dense masks exist only where somebody looks at one.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from shira_lab.budget import Shape
from shira_lab.errors import MaskError


def shape_of(base_layer: nn.Module) -> Shape:
    """(m, n) of the layer's weight as it is stored: (out, in) for ``nn.Linear``, (in, out) for ``Conv1D``."""
    m, n = weight_of(base_layer).shape
    return m, n


def weight_of(base_layer: nn.Module) -> Tensor:
    """The layer's weight; PyTorch's type for an attribute of a module is wider than that."""
    weight = getattr(base_layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise MaskError(
            f"`base_layer` should be a linear layer, with a weight of shape (m, n); got a {type(base_layer).__name__}."
        )
    return weight


def to_mask(positions: Tensor, weight: Tensor) -> Tensor:
    """The dense binary mask of ``positions``: shape, dtype and device of ``weight``."""
    mask = torch.zeros(weight.numel(), dtype=weight.dtype, device=weight.device)
    mask[positions.to(weight.device)] = 1
    return mask.view(weight.shape)


def from_mask(mask: Tensor) -> Tensor:
    """The sorted flat positions (k,) of the ones of a dense mask."""
    return mask.flatten().nonzero().flatten()


def to_indices(positions: Tensor, shape: Shape) -> Tensor:
    """Positions (k,) as PEFT's ``shira_indices``: int32 rows and columns (2, k)."""
    n = shape[1]
    return torch.stack([positions // n, positions % n]).to(torch.int32)


def from_indices(indices: Tensor, shape: Shape) -> Tensor:
    """PEFT's ``shira_indices`` (2, k) as flat positions (k,), in the order they came."""
    rows, columns = indices
    return rows.to(torch.int64, copy=True).mul_(shape[1]).add_(columns.to(torch.int64))


def finite(score: Tensor, what: str) -> Tensor:
    """Return ``score``, if positions can be ranked by it.

    Raises:
        MaskError: for NaN or infinite values; ``what`` is the score's name in the message.
    """
    if not bool(torch.isfinite(score).all()):
        raise MaskError(f"{what} holds NaN or infinite values; positions cannot be ranked by it.")
    return score


def top_positions(score: Tensor, k: int) -> Tensor:
    """The sorted positions of the ``k`` largest entries of ``score``; of equal ones, the first in row-major order.

    ``torch.topk`` leaves open which of equal values it returns, so it only finds the k-th largest value here; what lies
    above that value is in, and ties fill the rest from the left. Sorting is spared twice: a sample of the scores
    gives a bound that the k-th largest value very probably exceeds, and only entries above the bound are ranked.
    """
    flat = score.flatten()
    bound = _probable_lower_bound(flat, k)
    candidates = torch.nonzero(flat >= bound).flatten()
    if candidates.numel() < k:
        candidates = torch.arange(flat.numel(), device=flat.device)
    values = flat[candidates]
    threshold = torch.topk(values, k, sorted=False).values.min()
    above = candidates[values > threshold]
    ties = candidates[values == threshold][: k - above.numel()]
    return torch.cat([above, ties]).sort().values


def _probable_lower_bound(flat: Tensor, k: int, sample_size: int = 1 << 14) -> Tensor:
    """A value below the k-th largest of ``flat`` very probably: the matching quantile of a sample, with slack."""
    stride = max(1, flat.numel() // sample_size)
    sample = flat[::stride]
    expected = k / flat.numel() * sample.numel()
    rank = int(expected + 5 * expected**0.5 + 5)  # five standard deviations below the expected place
    return sample.topk(min(rank, sample.numel())).values[-1]


def fill(groups: Iterable[Tensor], shape: Shape, k: int, avoid: Tensor | None = None) -> Tensor:
    """Sorted positions of the first ``k`` distinct entries of ``groups``, taken in order; the last group is cut.

    Entries where the mask ``avoid`` (m, n) is not zero are passed over.

    This is the one rule by which structured masks meet the budget exactly, for every shape and r.
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
