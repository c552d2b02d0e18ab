"""One mask in numbers: what theory says of its rank, and what one update with random values measures.

All of it is computed in float64, where the smallest singular value of a random update stands clear of rounding, so that
ranks are the same on every machine.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from shira_lab.analysis.rank.support import structural_rank
from shira_lab.analysis.spectrum import Spectrum, spectrum
from shira_lab.budget import Shape


@dataclass(frozen=True)
class RankReport:
    """The mask of the sorted flat ``positions`` (k,) in an (m, n) weight; each number is computed when asked for.

    Attributes:
        values_seed: seed of the values of the measured update.
    """

    positions: Tensor
    shape: Shape
    values_seed: int = 0

    @property
    def entries(self) -> int:
        return len(self.positions)

    @cached_property
    def empty_rows(self) -> int:
        """Rows without an entry: outputs that no update can change."""
        return self.shape[0] - len((self.positions // self.shape[1]).unique())

    @cached_property
    def structural_rank(self) -> int:
        """The largest rank that the positions allow."""
        return structural_rank(self.positions, self.shape)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Singular values of an update with normally distributed values at the positions."""
        return spectrum(random_delta(self.positions, self.shape, self.values_seed))


def random_delta(positions: Tensor, shape: Shape, seed: int) -> Tensor:
    """An (m, n) update with normally distributed values at the flat positions, zero elsewhere; float64.

    >>> random_delta(torch.tensor([0, 3]), (2, 2), seed=0).nonzero()
    tensor([[0, 0],
            [1, 1]])
    """
    delta = torch.zeros(shape, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    delta.view(-1)[positions] = torch.randn(len(positions), generator=generator, dtype=torch.float64)
    return delta


def lora_spectrum(r: int, shape: Shape, seed: int) -> Spectrum:
    """The spectrum of a LoRA update BA with normally distributed B (m, r) and A (r, n): rank r, at most min(m, n).

    With B = Q_b R_b and A^T = Q_a R_a, BA has the singular values of the small R_b R_a^T.

    >>> lora_spectrum(2, (6, 6), seed=0).rank
    2
    """
    m, n = shape
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(m, r, generator=generator, dtype=torch.float64)
    a_t = torch.randn(n, r, generator=generator, dtype=torch.float64)
    core = torch.linalg.qr(b).R @ torch.linalg.qr(a_t).R.T
    return Spectrum(torch.linalg.svdvals(core), shape)
