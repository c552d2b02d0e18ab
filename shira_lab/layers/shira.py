"""One SHiRA adapter on one layer: k = r(m + n) numbers at fixed positions of the weight.

    W' = W + scaling * S,    S[position_i] = values_i,    zero elsewhere            (arXiv 2406.13175, section 3)

Forward, S is written into the weight (see :mod:`shira_lab.layers.overlay`) and the layer runs as it always does.
Backward, :class:`Tap` reads the k entries of the weight's gradient off the layer's input and the gradient of its
output:

    y = x W'^T   =>   dL/dvalues_i = scaling * sum_t g[t, row_i] x[t, column_i],    g = dL/dy
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from shira_lab.budget import Shape
from shira_lab.layers.overlay import Backward, Delta
from shira_lab.layers.pattern import Pattern
from shira_lab.layers.sampled import sampled_product
from shira_lab.masks.positions import to_indices


class ShiraAdapter(nn.Module):
    """The values and positions of one SHiRA adapter.

    Attributes:
        shira_weight: (k,) the trained values, in the order of ``positions``.
        positions: (k,) int64, sorted flat positions in the weight as it is stored.
        scale: factor of the delta, 1 in training; any value at inference (paper, section 3).
        fan_in_fan_out: the weight is stored as (in, out).
    """

    positions: Tensor

    def __init__(self, r: int, shape: Shape, positions: Tensor, values: Tensor, fan_in_fan_out: bool) -> None:
        super().__init__()
        self.r = r
        self.shape = shape
        self.scale = 1.0
        self.fan_in_fan_out = fan_in_fan_out
        self.shira_weight = nn.Parameter(values)
        self.register_buffer("positions", positions, persistent=False)
        self._pattern: Pattern | None = None

    @property
    def scaling(self) -> float:
        """The factor of S: ``scale``, as PEFT's SHiRA has it."""
        return self.scale

    @property
    def shira_indices(self) -> Tensor:
        """(2, k) int32: rows and columns of the trained entries, PEFT's form."""
        return to_indices(self.positions, self.shape)

    def set_positions(self, positions: Tensor) -> None:
        """Move to another mask of the same size: entries in both masks keep their values, new ones start at zero."""
        kept = torch.isin(positions, self.positions, assume_unique=True)
        values = torch.zeros_like(self.shira_weight)
        values[kept] = self.shira_weight.detach()[torch.isin(self.positions, positions, assume_unique=True)]
        with torch.no_grad():
            self.shira_weight.copy_(values)
        self.positions = positions
        self._pattern = None

    def share_positions(self, others: Iterable["ShiraAdapter"]) -> None:
        """Hold the same tensor as one of ``others`` with the same mask: one copy in memory, and switching between them
        writes values alone."""
        equal = (other.positions for other in others if torch.equal(other.positions, self.positions))
        self.positions = next(equal, self.positions)

    def delta(self) -> Delta:
        """What this adapter adds to the weight, sparse."""
        return Delta(self.shira_weight.detach(), self.positions, self.scaling)

    def delta_weight(self) -> Tensor:
        """scaling * S, dense (m, n); differentiable in the values."""
        flat = torch.zeros(self.shape[0] * self.shape[1], dtype=self.shira_weight.dtype, device=self.positions.device)
        return flat.index_put((self.positions,), self.shira_weight * self.scaling).view(self.shape)

    def tap(self, output: Tensor, x: Tensor, backward: Backward) -> Tensor:
        """Return ``output`` unchanged, and give the values their gradient when a backward pass comes through it."""
        if self._pattern is None or self._pattern.positions is not self.positions:
            self._pattern = Pattern.of(self.positions, self.shape)
        out: Tensor = Tap.apply(output, x, self.shira_weight, self, backward)
        return out


class Tap(torch.autograd.Function):
    """The identity on a linear layer's output whose backward pass computes the gradient of sparse entries of its
    weight.

    It saves the layer's input, as LoRA does, and never builds the dense gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, output: Tensor, x: Tensor, values: Tensor, adapter: ShiraAdapter, backward: Backward
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.pattern, ctx.scaling, ctx.dtype = adapter._pattern, adapter.scaling, values.dtype
        ctx.fan_in_fan_out, ctx.owed = adapter.fan_in_fan_out, backward
        # Not the tensor itself, which a hook may have saved, and no view, which forbids in-place operations after it.
        return output.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        tokens_in, tokens_out = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        a, b = (tokens_in, tokens_out) if ctx.fan_in_fan_out else (tokens_out, tokens_in)
        values = sampled_product(a, b, ctx.pattern) * ctx.scaling
        ctx.owed.done()
        return gradient, None, values.to(ctx.dtype), None, None
