"""One SHiRA adapter on one layer: k = r(m + n) numbers at fixed positions of the weight.

    W' = W + scaling * S,    S[position_i] = values_i,    zero elsewhere            (arXiv 2406.13175, section 3)

How it acts and how it trains is said in :mod:`shira_lab.layers.product`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.budget import Shape
from shira_lab.layers.moments import moments
from shira_lab.layers.pattern import Pattern
from shira_lab.masks.positions import to_indices


@dataclass(frozen=True)
class Delta:
    """scaling * values at sorted flat ``positions``, or on the whole weight where ``positions`` is None."""

    values: Tensor
    positions: Tensor | None
    scaling: float

    def snapshot(self) -> "Delta":
        return Delta(self.values.detach().clone(), self.positions, self.scaling)


def plus(numbers: Tensor, deltas: Sequence[Delta]) -> Tensor:
    """``numbers`` plus ``deltas`` in memory of its own, summed in the widest dtype of all and rounded once;
    differentiable in the deltas' values."""
    wide = numbers.dtype
    for delta in deltas:
        wide = torch.promote_types(wide, delta.values.dtype)
    total = numbers.detach().to(wide, copy=True, memory_format=torch.contiguous_format).view(-1)
    for delta in deltas:
        share = (delta.values if delta.scaling == 1 else delta.values * delta.scaling).to(wide).reshape(-1)
        total = total.add_(share) if delta.positions is None else total.index_add_(0, delta.positions, share)
    return total.view(numbers.shape).to(numbers.dtype)


def version_of(tensor: Tensor) -> int:
    """How often the tensor was changed in place; -1 for one made in inference mode, of which PyTorch does not count."""
    return -1 if tensor.is_inference() else tensor._version


class Adapter(nn.Module):
    """What a layer can carry beside its weight; here as a dense update, ``delta_weight``, in the weight's shape.

    Attributes:
        kind: what people call the method.
        part: the module of the layer that holds its adapters of this kind; "": one for each child of the adapter.
        r, shape: size of the adapter, and shape of the weight as it is stored.
        scale: factor of the whole update, 1 in training; any value at inference (paper, section 3).
    """

    kind: str
    part = "way"
    r: int
    shape: Shape
    scale = 1.0

    def enter(self, base_weight: Callable[[], Tensor]) -> None:
        """Called by the layer that takes the adapter in, with a function for its weight without any adapter."""

    @property
    def scaling(self) -> float:
        """The factor of the update."""
        return self.scale

    def delta_weight(self) -> Tensor:
        """scaling * update, dense, in the shape of the base weight as it is stored; differentiable."""
        raise NotImplementedError

    def delta(self) -> Delta:
        """What merging adds to the weight: all of it."""
        return Delta(self.delta_weight().detach(), None, 1.0)

    def add_to(self, output: Tensor, x: Tensor) -> Tensor:
        """output (..., out_features) with the update's part for x (..., in_features)."""
        raise NotImplementedError


class ShiraAdapter(Adapter):
    """The values and positions of one SHiRA adapter.

    Attributes:
        shira_weight: (k,) the trained values, in the order of ``positions``.
        positions: (k,) int64, sorted flat positions in the weight as it is stored.
        fan_in_fan_out: the weight is stored as (in, out).
    """

    kind, part = "SHiRA", "shira"
    positions: Tensor

    def __init__(self, r: int, shape: Shape, positions: Tensor, values: Tensor, fan_in_fan_out: bool) -> None:
        super().__init__()
        self.r = r
        self.shape = shape
        self.fan_in_fan_out = fan_in_fan_out
        self.shira_weight = nn.Parameter(values)
        self.register_buffer("positions", positions)
        self._pattern: Pattern | None = None

    @property
    def shira_indices(self) -> Tensor:
        """(2, k) int32: rows and columns of the trained entries, PEFT's form."""
        return to_indices(self.positions, self.shape)

    def set_positions(self, positions: Tensor) -> None:
        """Move to another mask of the same size: entries in both masks keep their values, new ones start at zero.

        So does what belongs to an entry: its gradient, and what an optimizer that has made a step remembers of it.
        """
        here = torch.isin(positions, self.positions, assume_unique=True)
        there = torch.isin(self.positions, positions, assume_unique=True)
        gradient = [] if self.shira_weight.grad is None else [self.shira_weight.grad]
        with torch.no_grad():
            for numbers in (*moments(self.shira_weight), *gradient, self.shira_weight):
                moved = torch.zeros_like(numbers)
                moved[here] = numbers[there]
                numbers.copy_(moved)
        self.positions = positions

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Values belong to their places: both are loaded, or neither and an error that says so."""
        key = f"{prefix}positions"
        if key in state:
            found, size = state[key], self.shape[0] * self.shape[1]
            k = self.positions.numel()
            fits = found.shape == (k,) and found.dtype == torch.int64 and (
                k == 0 or bool((found[1:] > found[:-1]).all() and found[0] >= 0 and found[-1] < size))  # fmt: skip
            if not fits:
                errors: list[str] = args[-1]
                errors.append(
                    f"'{key}' should be {k:,} sorted flat positions (int64) in a weight of shape "
                    f"{tuple(self.shape)}; got {found.dtype} of shape {tuple(found.shape)}. Is it of another adapter?"
                )
                state = {name: value for name, value in state.items() if not name.startswith(prefix)}
            elif not torch.equal(found.to(self.positions.device), self.positions):
                # A tensor of its own: other adapters may share the one that is here.
                self.positions = found.to(self.positions.device, copy=True)
        super()._load_from_state_dict(state, prefix, *args)

    def share_positions(self, others: Iterable["ShiraAdapter"]) -> None:
        """Hold the same tensor as one of ``others`` with the same mask: one copy in memory, and switching between them
        writes values alone."""
        equal = (other.positions for other in others if torch.equal(other.positions, self.positions))
        self.positions = next(equal, self.positions)

    @property
    def pattern(self) -> Pattern:
        """The positions as sparse rows, made once for each mask."""
        if self._pattern is None or self._pattern.positions is not self.positions:
            self._pattern = Pattern.of(self.positions, self.shape)
        return self._pattern

    def delta(self) -> Delta:
        """What this adapter adds to the weight, sparse."""
        return Delta(self.shira_weight.detach(), self.positions, self.scaling)

    def delta_weight(self) -> Tensor:
        """scaling * S, dense (m, n); differentiable in the values."""
        flat = torch.zeros(self.shape[0] * self.shape[1], dtype=self.shira_weight.dtype, device=self.positions.device)
        return flat.index_put((self.positions,), self.shira_weight * self.scaling).view(self.shape)
