"""RoSA (arXiv 2401.04679), and Supra in Super-Tuning (2607.09287): a low rank and a sparse part together.

    U = BA + S,    B (m, l), A (l, n), S with (r - l)(m + n) entries at drawn positions, l = floor(share * r)
    parameters l(m + n) + (r - l)(m + n) = r(m + n);    rank U <= min(m, n)

share = 0 is SHiRA with a random mask, share = 1 is LoRA. RoSA itself takes the entries with the largest gradients,
Supra those with the largest |W|.
"""

import torch
from torch import Tensor, nn

from shira_lab.errors import ConfigError, is_finite
from shira_lab.masks.positions import random_positions
from shira_lab.training.ways.way import Way, factors, register_way


@register_way("rosa")
class Rosa(Way):
    """BA + S."""

    kind = "RoSA"
    start = "A starts Kaiming-uniform, B and the entries at zero"
    positions: Tensor

    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0, share: float = 0.5) -> None:
        super().__init__(base_layer, r, seed)
        if not is_finite(share) or not 0 <= share <= 1:
            raise ConfigError(f"RoSA's `share` of the low rank should be in [0, 1]; got {share!r}.")
        self.low = int(share * r)
        k = self.budget - self.low * (self.m + self.n)
        self.rosa_B, self.rosa_A = factors(self.m, self.low, self.n)
        self.entries = nn.Parameter(torch.zeros(k))
        self.register_buffer("positions", random_positions(self.shape, k, seed), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        flat = (self.rosa_B @ self.rosa_A).view(-1)
        return flat.index_put((self.positions,), self.entries, accumulate=True).view(self.shape)

    @property
    def rank_bound(self) -> int:
        return self.low if self.low == self.r else min(self.m, self.n)
