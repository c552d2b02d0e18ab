"""How much two masks of one weight share, compared with what two random masks share."""

from dataclasses import dataclass

import torch
from torch import Tensor

from shira_lab.budget import Shape


@dataclass(frozen=True)
class Overlap:
    """The entries of two masks of one (m, n) weight, counted.

    Attributes:
        first, second: entries of each mask, k1 and k2.
        both: entries that they share.
        numel: entries of the weight, mn.
    """

    first: int
    second: int
    both: int
    numel: int

    @property
    def share(self) -> float:
        """Shared entries as a share of the smaller mask: 1 where one mask lies inside the other."""
        return self.both / min(self.first, self.second)

    @property
    def expected(self) -> float:
        """What independent random masks share on average: k1 k2 / (mn), the mean of the hypergeometric distribution."""
        return self.first * self.second / self.numel

    @property
    def deviation(self) -> float:
        """Its standard deviation, sqrt(k1 k2 (mn - k1) (mn - k2) / ((mn)^2 (mn - 1)))."""
        left = (self.numel - self.first) * (self.numel - self.second) / (self.numel - 1)
        return float((self.expected * left / self.numel) ** 0.5)


def common(first: Tensor, second: Tensor) -> Tensor:
    """The sorted positions that are in both of two sorted position tensors (k1,) and (k2,).

    >>> common(torch.tensor([0, 3, 5]), torch.tensor([3, 4, 5]))
    tensor([3, 5])
    """
    return first[torch.isin(first, second, assume_unique=True)]


def overlap(first: Tensor, second: Tensor, shape: Shape) -> Overlap:
    """The :class:`Overlap` of two masks, given by their positions in a weight of ``shape`` (m, n).

    >>> overlap(torch.tensor([0, 3, 5]), torch.tensor([3, 4, 5]), (2, 3))
    Overlap(first=3, second=3, both=2, numel=6)
    """
    return Overlap(len(first), len(second), len(common(first, second)), shape[0] * shape[1])
