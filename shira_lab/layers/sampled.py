"""Gradients at sparse positions: some entries of a product of two tall matrices, without the rest of it.

The gradient of a weight is a sum over tokens of outer products, G = sum_t a_t b_t^T. A sparse adapter needs k of its mn
entries. Computing just these (a "sampled dense-dense matrix product") is what keeps training as cheap as LoRA's. Where
entries form rectangles, a dense product of a few rows and columns is faster still.
"""

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from shira_lab.layers.pattern import Pattern

# Above this density one dense product and a gather are faster than sampling (measured by the benchmark).
DENSE_ABOVE = 0.15
# Sampling walks all tokens for each entry; in chunks of this many the lines of 768 columns stay in the cache.
TOKEN_CHUNK = 128

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
    if not pattern.rectangles:
        return _sampled(a, b, pattern)
    entries = torch.empty(pattern.positions.numel(), dtype=dtype, device=a.device)
    for rectangle in pattern.rectangles:
        entries.scatter_(0, rectangle.places, rectangle.product(a, b).flatten())
    places, rest = pattern.rest
    if places.numel():
        entries.scatter_(0, places, _sampled(a, b, rest))
    return entries


def _sampled(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    if pattern.density > DENSE_ABOVE:
        return (a.t() @ b).flatten()[pattern.positions]
    if _kernel is not None and a.dtype == torch.float32 and a.device.type == "cpu":
        return _kernel(a, b, pattern)
    entries = torch.zeros(pattern.positions.numel(), dtype=a.dtype, device=a.device)
    for lefts, rights in zip(turned(a), turned(b), strict=True):
        for left, right in zip(lefts, rights, strict=True):
            entries = torch.sparse.sampled_addmm(_csr(pattern, entries), left, right.t()).values()
    return entries


def turned(matrix: Tensor) -> Iterator[Tensor]:
    """The transpose of (tokens, width) in stacks of pieces, (pieces, width, ``TOKEN_CHUNK`` or fewer at the end).

    An entry is a dot product along the tokens, so the kernel wants these to be neighbours in memory. PyTorch copies a
    transpose in one thread. Shuffling the channels of an image of one pixel from (tokens, width) to (width, tokens) is
    the same move, but one that all threads make with vector instructions, an image each, 4 to 8 times faster. A stack
    has no more pieces than there are threads: memory that is soon used again is in the cache already.
    """
    if matrix.device.type != "cpu":
        yield matrix.t()[None]
        return
    whole, channels = len(matrix) // TOKEN_CHUNK, TOKEN_CHUNK * matrix.shape[1]
    images = matrix.contiguous().as_strided((whole, channels, 1, 1), (channels, 1, channels, channels))
    for stack in images.split(torch.get_num_threads()) if whole else ():
        yield torch.channel_shuffle(stack, TOKEN_CHUNK).view(-1, matrix.shape[1], TOKEN_CHUNK)
    if len(matrix) > whole * TOKEN_CHUNK:
        yield matrix[whole * TOKEN_CHUNK :].t()[None]


def _csr(pattern: Pattern, entries: Tensor) -> Tensor:
    """Made for each call: PyTorch can neither copy nor pickle such tensors, so none is kept."""
    return torch.sparse_csr_tensor(pattern.row_starts, pattern.columns, entries, pattern.shape, check_invariants=False)


with warnings.catch_warnings():  # PyTorch says once in a process that such tensors are in beta: let it be here
    warnings.simplefilter("ignore", UserWarning)
    _csr(Pattern.of(torch.zeros(1, dtype=torch.int64), (1, 1)), torch.zeros(1))
