"""GraLoRA (arXiv 2505.20355): q x q blocks, each with factors of its own of rank r/q.

    U[c, a] = B[c, a] A[a, c],    B[c, a] (m/q, r/q), A[a, c] (r/q, n/q)    block row c, block column a < q
    parameters q^2 * r/q * (m/q + n/q) = r(m + n)
    rank U <= min(m, n, q r): a row of blocks has rank q * r/q = r at most, and there are q of them

q = 1 is LoRA. The factors lie in memory as in PEFT's GraLoRA with ``gralora_k`` = q and ``alpha`` = r.
"""

import torch
from torch import Tensor, nn

from shira_lab.errors import ConfigError
from shira_lab.training.ways.way import Way, register_way


@register_way("gralora")
class Gralora(Way):
    """Blocks of low rank; q has to divide m, n and r."""

    kind = "GraLoRA"
    start = "A starts Kaiming-uniform and B at zero"

    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0, q: int = 2) -> None:
        super().__init__(base_layer, r, seed)
        m, n = self.shape
        if isinstance(q, bool) or not isinstance(q, int) or q < 1 or m % q or n % q or r % q:
            raise ConfigError(f"GraLoRA's `q` should divide m, n and r, which are {m}, {n} and {r}; got {q!r}.")
        self.q = q
        self.gralora_A = nn.Parameter(torch.empty(q, n // q, r))  # [a, :, (c, s)], s < r/q
        self.gralora_B = nn.Parameter(torch.zeros(q, r, m // q))  # [c, (a, s), :]
        bound = (q / n) ** 0.5  # Kaiming-uniform over n/q inputs
        nn.init.uniform_(self.gralora_A, -bound, bound)

    def forward(self, weight: Tensor) -> Tensor:
        q, s = self.q, self.r // self.q
        a, b = self.gralora_A.view(q, -1, q, s), self.gralora_B.view(q, q, s, -1)
        return torch.einsum("aics,caso->coai", a, b).reshape(self.shape)

    @property
    def rank_bound(self) -> int:
        return min(self.m, self.n, self.q * self.r)
