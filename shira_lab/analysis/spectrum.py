"""How many directions an update really has: rank, stable rank and effective rank, from its singular values.

"High rank" is three different statements. The numerical rank counts singular values above rounding; the stable rank
(Rudelson & Vershynin 2007) and the effective rank (Roy & Vetterli 2007) weigh them by how much they carry.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from shira_lab.errors import ShiraError, expect

# Down to this share of the largest one, singular values may be taken as roots of the eigenvalues of M M^T: these have
# an error of some eps * sigma_1^2, so at least five digits are right.
ROOTS_ABOVE = 1e-5


@dataclass(frozen=True)
class Spectrum:
    """The singular values of a matrix, descending, and the three ranks that follow from them.

    With sigma_1 >= sigma_2 >= ...:

    * ``rank`` = number of sigma_i > max(m, n) * eps * sigma_1, eps that of the dtype of the computation;
    * ``stable_rank`` = sum sigma_i^2 / sigma_1^2;
    * ``effective_rank`` = exp(-sum p_i ln p_i), p_i = sigma_i / sum sigma.

    All three are 0 for a zero matrix.
    """

    values: Tensor
    shape: tuple[int, int]

    @property
    def tolerance(self) -> float:
        """Singular values at or below this count as zero."""
        return float(self.values[0]) * max(self.shape) * torch.finfo(self.values.dtype).eps

    @property
    def rank(self) -> int:
        return int((self.values > self.tolerance).sum())

    @property
    def normalised(self) -> "Spectrum":
        """The spectrum of the matrix scaled to Frobenius norm 1: sum sigma_i^2 = 1. A zero matrix stays as it is."""
        norm = torch.linalg.vector_norm(self.values)
        return Spectrum(self.values / norm if float(norm) > 0 else self.values, self.shape)

    @property
    def stable_rank(self) -> float:
        top = float(self.values[0])
        return float((self.values / top).square().sum()) if top > 0 else 0.0

    @property
    def effective_rank(self) -> float:
        total = self.values.sum()
        if float(total) == 0.0:
            return 0.0
        p = self.values / total
        return float(torch.exp(torch.special.entr(p).sum()))


def spectrum(matrix: Tensor) -> Spectrum:
    """The :class:`Spectrum` of a dense or sparse (m, n) matrix, computed in float32 or, for float64, in float64.

    >>> found = spectrum(torch.diag(torch.tensor([2.0, 1.0, 0.0])))
    >>> found.rank, found.stable_rank
    (2, 1.25)

    Raises:
        ShiraError: when there are no singular values: it is no matrix, or holds NaN or infinite values.
    """
    expect(matrix, Tensor, "matrix", "a torch.Tensor of shape (m, n)", ShiraError)
    if matrix.ndim != 2 or matrix.numel() == 0 or matrix.is_meta:
        where = " on the meta device" if matrix.is_meta else ""
        raise ShiraError(f"`matrix` should have a shape (m, n) and numbers; got shape {tuple(matrix.shape)}{where}.")
    dense = matrix.detach()
    dense = dense.to_dense() if dense.layout is not torch.strided else dense
    if not bool(torch.isfinite(dense).all()):
        raise ShiraError("`matrix` holds NaN or infinite values and has no singular values. Look for what made them.")
    m, n = dense.shape
    values = _by_roots(dense) if dense.dtype == torch.float64 else None
    if values is None:
        values = torch.linalg.svdvals(dense.to(torch.promote_types(dense.dtype, torch.float32)))
    return Spectrum(values, (m, n))


def _by_roots(matrix: Tensor) -> Tensor | None:
    """The singular values of a float64 matrix in two thirds of the time, or None where they would not be exact enough.

    Rows and columns of zeros are left out first: they would be zero among the eigenvalues, which has no exact root.
    """
    m, n = matrix.shape
    full = matrix[matrix.any(dim=1)][:, matrix.any(dim=0)]
    if full.numel() == 0:
        return matrix.new_zeros(min(m, n))
    scale = full.abs().max()
    full = (full if full.shape[0] <= full.shape[1] else full.T) / scale  # else squares might overflow
    squares = torch.linalg.eigvalsh(full @ full.T).flip(0)
    if squares[-1] <= ROOTS_ABOVE**2 * squares[0]:
        return None
    return torch.cat([squares.sqrt() * scale, matrix.new_zeros(min(m, n) - len(squares))])
