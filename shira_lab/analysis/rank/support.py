"""The largest rank that the positions of a mask allow, whatever the values.

Draw the mask as a graph: a node for each row and each column, an edge for each entry. A matching is a set of entries of
which no two share a row or a column; the size of the largest one is the structural rank. It bounds the rank of every
matrix with this support, and continuous random values attain it with probability 1 (a determinant that is not zero
everywhere is zero almost nowhere). By Koenig's theorem (1931) it equals the fewest lines, rows and columns together,
that cover every entry.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shira_lab.budget import Shape


@dataclass(frozen=True)
class Cover:
    """Rows and columns (sorted indices) that together hold every entry of a mask.

    The rank is at most their number: each row and each column adds at most one direction.
    """

    rows: Tensor
    columns: Tensor

    @property
    def size(self) -> int:
        """The number of lines."""
        return len(self.rows) + len(self.columns)


def structural_rank(positions: Tensor, shape: Shape) -> int:
    """The largest rank of any (m, n) matrix that is zero outside the flat ``positions`` (k,).

    >>> structural_rank(torch.tensor([0, 1, 2, 3]), (3, 3))
    2
    """
    return int((_matched_columns(positions, shape) >= 0).sum())


def smallest_cover(positions: Tensor, shape: Shape) -> Cover:
    """The fewest rows and columns that cover the flat ``positions`` (k,), as many as :func:`structural_rank`.

    Koenig's proof, run forwards: start at the rows that the matching leaves out, go to columns along entries and back
    to rows along the matching. The cover is the rows that this does not reach and the columns that it does.

    >>> smallest_cover(torch.tensor([0, 1, 2, 3]), (3, 3))
    Cover(rows=tensor([0, 1]), columns=tensor([], dtype=torch.int64))
    """
    n = shape[1]
    rows, columns = _coordinates(positions, n)
    column_of = _matched_columns(positions, shape)  # (m,)
    row_of = np.full(n, -1)
    row_of[column_of[column_of >= 0]] = np.flatnonzero(column_of >= 0)

    reached_rows, reached_columns = column_of < 0, np.zeros(n, dtype=bool)
    while True:
        reached_columns[columns[reached_rows[rows]]] = True
        back = row_of[reached_columns]  # every reached column is matched: the matching could grow otherwise
        if reached_rows[back].all():
            return Cover(
                torch.from_numpy(np.flatnonzero(~reached_rows)), torch.from_numpy(np.flatnonzero(reached_columns))
            )
        reached_rows[back] = True


def _coordinates(positions: Tensor, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns (k,) of flat positions."""
    return np.divmod(positions.cpu().numpy(), n)


def _matched_columns(positions: Tensor, shape: Shape) -> NDArray[np.int64]:
    """For each row its column in a largest matching, -1 without one (Hopcroft & Karp 1973)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    entries = np.ones(len(positions), dtype=bool)
    graph = csr_array((entries, _coordinates(positions, shape[1])), shape=shape)
    return np.asarray(maximum_bipartite_matching(graph, perm_type="column"))
