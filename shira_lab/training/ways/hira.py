"""HiRA (Huang et al., ICLR 2025): the weight, entry by entry, times an update of low rank.

    U = W o BA,    B (m, r), A (r, n): r(m + n) parameters
    rank U <= min(m, n, r * rank W), since W o b a^T = diag(b) W diag(a) has the rank of W at most

It is PEFT's HiRA bit for bit in its update: large entries move far, and an entry that is zero stays zero.
"""

import torch
from torch import Tensor, nn

from shira_lab.training.ways.way import Way, factors, register_way


@register_way("hira")
class Hira(Way):
    """W o BA."""

    kind = "HiRA"
    start = "A starts Kaiming-uniform and B at zero"

    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
        super().__init__(base_layer, r, seed)
        self.hira_B, self.hira_A = factors(self.m, r, self.n)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (self.hira_B @ self.hira_A)

    @property
    def rank_bound(self) -> int:
        return min(self.m, self.n, self.r * int(torch.linalg.matrix_rank(self.base_weight().float())))
