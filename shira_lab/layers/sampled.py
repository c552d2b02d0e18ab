"""Gradients at sparse positions: some entries of a product of two tall matrices, without the rest of it.

The gradient of a weight is a sum over tokens of outer products, G = sum_t a_t b_t^T. A sparse adapter needs k of its mn
entries. Computing just these (a "sampled dense-dense matrix product") is what keeps training as cheap as LoRA's.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from shira_lab.budget import Shape

# Above this density one dense product and a gather are faster than sampling (measured by the benchmark).
DENSE_ABOVE = 0.2
# Sampling walks all tokens for each entry; in chunks of this many they stay in the cache.
TOKEN_CHUNK = 512


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


Kernel = Callable[[Tensor, Tensor, Pattern], Tensor]
_kernel: Kernel | None = None


def install_kernel(kernel: Kernel | None) -> None:
    """Use ``kernel`` for float32 on the CPU; None goes back to PyTorch's. See :mod:`shira_lab.layers.compiled`."""
    global _kernel
    _kernel = kernel


def installed_kernel() -> Kernel | None:
    return _kernel


def sampled_product(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    """The entries of a^T b at the pattern's positions, shape (k,), for a (tokens, m) and b (tokens, n).

    Half precision is computed in float32, where the kernel exists.
    """
    dtype = torch.promote_types(a.dtype, b.dtype)
    dtype = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    a, b = a.to(dtype), b.to(dtype)
    if pattern.density > DENSE_ABOVE:
        return (a.t() @ b).flatten()[pattern.positions]
    if _kernel is not None and dtype == torch.float32 and a.device.type == "cpu":
        return _kernel(a, b, pattern)
    entries = torch.zeros(pattern.positions.numel(), dtype=dtype, device=a.device)
    for start in range(0, a.shape[0], TOKEN_CHUNK):
        chunk = slice(start, start + TOKEN_CHUNK)
        entries = torch.sparse.sampled_addmm(_csr(pattern, entries), a[chunk].t(), b[chunk]).values()
    return entries


def _csr(pattern: Pattern, entries: Tensor) -> Tensor:
    """Made for each call: PyTorch can neither copy nor pickle such tensors, so none is kept."""
    return torch.sparse_csr_tensor(pattern.row_starts, pattern.columns, entries, pattern.shape, check_invariants=False)


with warnings.catch_warnings():  # PyTorch says once in a process that such tensors are in beta: let it be here
    warnings.simplefilter("ignore", UserWarning)
    _csr(Pattern.of(torch.zeros(1, dtype=torch.int64), (1, 1)), torch.zeros(1))
