"""Where the entries of a sparse matrix lie, in the forms in which the kernels want them."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from shira_lab.budget import Shape

# With fewer entries, or so narrow, a rectangle is left to the sampling kernel, which is as fast there (measured).
SMALLEST_RECTANGLE = 4096
SHORTEST_SIDE = 4


@dataclass(frozen=True)
class Rectangle:
    """Rows that all have their entries in the same columns: one dense product gives all of these entries.

    Attributes:
        rows: (p,) int64.
        columns: (q,) int64.
        places: (p * q,) where its entries, row by row, stand among those of the pattern.
    """

    rows: Tensor
    columns: Tensor
    places: Tensor

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """Its entries of a^T b, shape (p, q). Where it has most rows or columns, all are multiplied."""
        whole_a, whole_b = (2 * len(side) > x.shape[1] for side, x in ((self.rows, a), (self.columns, b)))
        left = a if whole_a else a.index_select(1, self.rows)
        right = b if whole_b else b.index_select(1, self.columns)
        product = left.t() @ right
        product = product.index_select(0, self.rows) if whole_a else product
        return product.index_select(1, self.columns) if whole_b else product


@dataclass(frozen=True)
class Pattern:
    """Sorted flat positions (k,) of an (m, n) matrix, also as compressed sparse rows, int32 as kernels want them."""

    positions: Tensor  # (k,) int64
    row_starts: Tensor  # (m + 1,)
    columns: Tensor  # (k,)
    shape: Shape

    @classmethod
    def of(cls, positions: Tensor, shape: Shape) -> "Pattern":
        m, n = shape
        row_starts = torch.zeros(m + 1, dtype=torch.int32, device=positions.device)
        row_starts[1:] = torch.bincount(positions // n, minlength=m).cumsum(0)
        return cls(positions, row_starts, (positions % n).to(torch.int32), shape)

    @property
    def density(self) -> float:
        return self.positions.numel() / (self.shape[0] * self.shape[1])

    @cached_property
    def transposed(self) -> tuple[Tensor, "Pattern"]:
        """For each entry of the transpose its place among these, int32, and the transpose's pattern."""
        m, n = self.shape
        positions, order = (self.positions % n * m + self.positions // n).sort()
        return order.to(torch.int32), Pattern.of(positions, (n, m))

    @cached_property
    def rectangles(self) -> tuple[Rectangle, ...]:
        """Those that are worth a dense product: whole rows, whole columns, blocks; of random positions none."""
        m, n = self.shape
        starts, columns = self.row_starts.long(), self.columns.long()
        # Rows with the same columns have the same sum of random numbers, one for each column; others hardly ever.
        names = torch.randint(2**62, (n,), generator=torch.Generator().manual_seed(0)).to(columns.device)
        sums = torch.zeros(m, dtype=torch.int64, device=columns.device)
        sums.index_add_(0, self.positions // n, names[columns])
        _, group, sizes = sums.unique(return_inverse=True, return_counts=True)
        found = []
        for number in torch.nonzero(sizes >= SHORTEST_SIDE).flatten().tolist():
            rows = torch.nonzero(group == number).flatten()
            first = int(rows[0])
            side = int(starts[first + 1] - starts[first])
            worth = side >= SHORTEST_SIDE and side * len(rows) >= SMALLEST_RECTANGLE
            if not worth or bool((starts[rows + 1] - starts[rows] != side).any()):
                continue
            places = starts[rows][:, None] + torch.arange(side, device=rows.device)
            if bool((columns[places] == columns[places[0]]).all()):
                found.append(Rectangle(rows, columns[places[0]], places.flatten()))
        return tuple(found)

    @cached_property
    def rest(self) -> tuple[Tensor, "Pattern"]:
        """What lies in no rectangle: its places among the entries, and a pattern of its own."""
        outside = torch.ones(self.positions.numel(), dtype=torch.bool, device=self.positions.device)
        for rectangle in self.rectangles:
            outside[rectangle.places] = False
        places = torch.nonzero(outside).flatten()
        return places, Pattern.of(self.positions[places], self.shape)
