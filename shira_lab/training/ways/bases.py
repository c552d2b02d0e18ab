"""One idea, four bases: k = r(m + n) trained coefficients, spread over the weight by an orthonormal transform T.

    U = T(C),    C (m, n) has the coefficients at k drawn positions, and zeros elsewhere

    identity     T(C) = C                          SHiRA with a random mask
    Fourier      T(C) = Re F_m* C F_n*             FourierFT (arXiv 2405.03003): plane waves
    Haar         T(C) = one step of wavelets       WaveFT (arXiv 2505.12532): blocks of 2 x 2
    orthogonal   T(C) = D H C, C as one vector     H: Hartley's waves over all mn entries, D: signs that are drawn

The length of an update is that of its coefficients, so one learning rate moves them all as far. Two exceptions. Of a
wave only the real part is kept, on average half of its energy, and frequencies (u, v) and (-u, -v) give the same one.
Where m or n is odd, the last Haar blocks are cut. The bases of PEFT are scaled otherwise: FourierFT by sqrt(mn).

Rank at most min(m, n): one coefficient has rank 1 in the identity and in Haar, 2 at most in Fourier, and any rank in
the drawn basis. No transform makes an mn x mn matrix.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shira_lab.masks.positions import random_positions, seeded
from shira_lab.training.ways.way import Way, register_way


class Coefficients(Way):
    """k coefficients in the identity; its subclasses have other bases."""

    kind = "identity"
    kin = "shira"
    learning_rate: ClassVar[float] = 1e-1
    start = "coefficients start at zero"
    positions: Tensor

    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
        super().__init__(base_layer, r, seed)
        self.coefficients = nn.Parameter(torch.zeros(self.budget))
        self.register_buffer("positions", random_positions(self.shape, self.budget, seed), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        flat = torch.zeros_like(weight, memory_format=torch.contiguous_format).view(-1)
        return self.transform(flat.index_put((self.positions,), self.coefficients).view(self.shape))

    def transform(self, c: Tensor) -> Tensor:
        """The update (m, n) of a matrix of coefficients (m, n)."""
        return c


@register_way("fourier")
class Fourier(Coefficients):
    """The real part of plane waves: C[u, v] gives cos(2 pi (i u / m + j v / n)) / sqrt(mn)."""

    kind = "FourierFT"

    def transform(self, c: Tensor) -> Tensor:
        return torch.fft.ifft2(c, norm="ortho").real


@register_way("haar")
class Haar(Coefficients):
    """One step of Haar's wavelets: a quarter of C each for the means of the 2 x 2 blocks, their two slopes and their
    twists. As in PEFT, the right quarters hold the slopes along the rows' index."""

    kind = "WaveFT"

    def transform(self, c: Tensor) -> Tensor:
        m, n = self.shape
        c = F.pad(c, (0, n % 2, 0, m % 2))
        haar = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=c.dtype, device=c.device) / 2**0.5
        quarters = c.view(2, c.shape[0] // 2, 2, c.shape[1] // 2)  # [p, i, q, j]
        return torch.einsum("piqj,qa,pb->iajb", quarters, haar, haar).reshape(c.shape)[:m, :n]


@register_way("orthogonal")
class Orthogonal(Coefficients):
    """Hartley's waves cos + sin over all mn entries in a row, each entry times a sign that is drawn."""

    kind = "random basis"
    signs: Tensor

    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
        super().__init__(base_layer, r, seed)
        signs = torch.randint(2, self.shape, generator=seeded(seed)) * 2 - 1
        self.register_buffer("signs", signs.to(torch.int8), persistent=False)

    def transform(self, c: Tensor) -> Tensor:
        waves = torch.fft.fft(c.reshape(-1), norm="ortho")
        return self.signs * (waves.real - waves.imag).view(self.shape)
