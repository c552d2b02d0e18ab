"""Gradients at sparse positions: some entries of a product of two tall matrices, without the rest of it.

The gradient of a weight is a sum over tokens of outer products, G = sum_t a_t b_t^T. A sparse adapter needs k of its mn
entries. Computing just these (a "sampled dense-dense matrix product") is what keeps training as cheap as LoRA's.
"""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from shira_lab.budget import Shape

# Above this density one dense product and a gather are faster than sampling (measured by the benchmark).
DENSE_ABOVE = 0.2
# Sampling walks all tokens for each entry; in chunks of this many they stay in the cache.
TOKEN_CHUNK = 256


@dataclass(frozen=True)
class Pattern:
    """Sorted flat positions (k,) of an (m, n) matrix in compressed sparse row form, int32 as the kernels want them."""

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


def sampled_product(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    """The entries of a^T b at the pattern's positions, shape (k,), for a (tokens, m) and b (tokens, n).

    Half precision is computed in float32, where the kernel exists.
    """
    dtype = torch.promote_types(a.dtype, b.dtype)
    dtype = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    a, b = a.to(dtype), b.to(dtype)
    if pattern.density > DENSE_ABOVE:
        return (a.t() @ b).flatten()[pattern.positions]
    entries = torch.zeros(pattern.positions.numel(), dtype=dtype, device=a.device)
    for start in range(0, a.shape[0], TOKEN_CHUNK):
        chunk = slice(start, start + TOKEN_CHUNK)
        entries = torch.sparse.sampled_addmm(_csr(pattern, entries), a[chunk].t(), b[chunk]).values()
    return entries


def _csr(pattern: Pattern, entries: Tensor) -> Tensor:
    """Made for each call: PyTorch can neither copy nor pickle such tensors, so none is kept."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(
            pattern.row_starts, pattern.columns, entries, pattern.shape, check_invariants=False
        )
