"""DoRA (arXiv 2402.09353): the rows of W + V get a length that is trained apart from their direction.

    U = d * (W + V) / ||W + V|| - W,    one length d_i (m,) and one norm for each output; d starts as ||W||
    V = BA: DoRA;    V = S at the largest |W|: SHiRA under DoRA, the row "WM-DoRA" of the paper
    parameters r(m + n) + m;    rank U <= min(m, n), since each row is rescaled by a number of its own

The norm counts as a constant in the backward pass (section 4.3 there), as in PEFT's ``LoraConfig(use_dora=True)``.
"""

import torch
from torch import Tensor, nn

from shira_lab.budget import Shape, num_params
from shira_lab.masks import mask_positions
from shira_lab.masks.builtin import magnitude_mask
from shira_lab.training.ways.way import Way, factors, register_way


class Rescaled(Way):
    """What both kinds share: the lengths d."""

    law = "r(m + n) + m"

    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
        super().__init__(base_layer, r, seed)
        weight = self.base_weight()
        wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
        self.magnitude = nn.Parameter(torch.linalg.norm(wide, dim=1))

    def direction(self) -> Tensor:
        """V (m, n)."""
        raise NotImplementedError

    def forward(self, weight: Tensor) -> Tensor:
        turned = weight + self.direction()
        norm = torch.linalg.norm(turned, dim=1).detach().clamp_min(torch.finfo(turned.dtype).tiny)  # a row of zeros
        return (self.magnitude / norm)[:, None] * turned - weight

    @staticmethod
    def parameters_for(r: int, shape: Shape) -> int:
        return num_params(r, shape) + shape[0]


@register_way("dora")
class Dora(Rescaled):
    """V = BA."""

    kind = "DoRA"
    start = "A starts Kaiming-uniform, B at zero and the lengths as they are"

    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
        super().__init__(base_layer, r, seed)
        self.lora_B, self.lora_A = factors(self.m, r, self.n)

    def direction(self) -> Tensor:
        return self.lora_B @ self.lora_A


@register_way("shira_dora")
class ShiraDora(Rescaled):
    """V = S; the positions are saved, as another precision of W could rank its entries otherwise."""

    kind = "SHiRA under DoRA"
    kin = "shira"
    learning_rate = 1e-1
    start = "entries start at zero and the lengths as they are"
    positions: Tensor

    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
        super().__init__(base_layer, r, seed)
        self.entries = nn.Parameter(torch.zeros(self.budget))
        self.register_buffer("positions", mask_positions(magnitude_mask, base_layer, r))

    def direction(self) -> Tensor:
        flat = torch.zeros(self.m * self.n, dtype=self.entries.dtype, device=self.entries.device)
        return flat.index_put((self.positions,), self.entries).view(self.shape)
