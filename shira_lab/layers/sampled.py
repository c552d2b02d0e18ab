"""Gradients at sparse positions: some entries of a product of two tall matrices, without the rest of it.

The gradient of a weight is a sum over tokens of outer products, G = sum_t a_t b_t^T. A sparse adapter needs k of its mn
entries. Computing just these (a "sampled dense-dense matrix product") is what keeps training as cheap as LoRA's. Where
entries form rectangles, a dense product of a few rows and columns is faster still.
"""

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from shira_lab.layers.pattern import Pattern

# Above this density one dense product and a gather are faster than sampling (measured by the benchmark).
DENSE_ABOVE = 0.15
# Where PyTorch has a sampled product; elsewhere the dense one is taken at any density.
SAMPLED_ON = {"cpu", "cuda"}
# Sampling walks all tokens for each entry, so it takes them in pieces: of so many that the lines of all columns hold no
# more numbers than these, which stay in the cache; but of no fewer tokens, as each piece is a call.
CACHED_NUMBERS = 2**17
FEWEST_TOKENS = 128


def sampled_product(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    """The entries of a^T b at the pattern's positions, shape (k,), for a (tokens, m) and b (tokens, n).

    Half precision is computed in float32, where the kernel exists.
    """
    dtype = torch.promote_types(a.dtype, b.dtype)
    dtype = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    if not pattern.rectangles:
        return _sampled(a, b, pattern, dtype)
    a, b = a.to(dtype), b.to(dtype)
    entries = torch.empty(pattern.positions.numel(), dtype=dtype, device=a.device)
    for rectangle in pattern.rectangles:
        entries.scatter_(0, rectangle.places, rectangle.product(a, b).flatten())
    places, rest = pattern.rest
    if places.numel():
        entries.scatter_(0, places, _sampled(a, b, rest, dtype))
    return entries


def dense_product(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    """The same by one dense product, which autograd can follow."""
    dtype = torch.promote_types(a.dtype, b.dtype)
    return (a.to(dtype).t() @ b.to(dtype)).flatten()[pattern.positions]


def _sampled(a: Tensor, b: Tensor, pattern: Pattern, dtype: torch.dtype) -> Tensor:
    if pattern.density > DENSE_ABOVE or a.device.type not in SAMPLED_ON:
        return dense_product(a.to(dtype), b.to(dtype), pattern)
    entries = torch.zeros(pattern.positions.numel(), dtype=dtype, device=a.device)
    total = csr(pattern, entries)
    tokens = piece_size(b.shape[1])
    for lefts, rights in zip(turned(a, tokens, dtype), turned(b, tokens, dtype), strict=True):
        for left, right in zip(lefts, rights, strict=True):
            torch.sparse.sampled_addmm(total, left, right.t(), out=total)
    return total.values()


def piece_size(width: int) -> int:
    """Tokens in a piece of a matrix with so many columns, a power of two."""
    return max(FEWEST_TOKENS, 1 << max(0, (CACHED_NUMBERS // width).bit_length() - 1))


def turned(matrix: Tensor, tokens: int, dtype: torch.dtype) -> Iterator[Tensor]:
    """The transpose of a matrix (all tokens, width) in stacks of pieces of a dtype, (pieces, width, ``tokens`` or fewer
    at the end).

    An entry is a dot product along the tokens, so the kernel wants these to be neighbours in memory. PyTorch copies a
    transpose in one thread. Shuffling the channels of an image of one pixel from (tokens, width) to (width, tokens) is
    the same move, but one that all threads make with vector instructions, an image each, in half of the time. A stack
    has no more pieces than there are threads: memory that is soon used again is in the cache already.
    """
    if matrix.device.type != "cpu":
        yield matrix.t()[None].to(dtype)
        return
    width, end = matrix.shape[1], len(matrix) // tokens * tokens
    for part, size in ((matrix[:end], tokens), (matrix[end:], len(matrix) - end)):
        if len(part):
            pixel = (size * width, 1, size * width, size * width)
            images = part.contiguous().as_strided((len(part) // size, size * width, 1, 1), pixel)
            for stack in images.split(torch.get_num_threads()):
                yield torch.channel_shuffle(stack.to(dtype), size).view(-1, width, size)


def csr(pattern: Pattern, entries: Tensor) -> Tensor:
    """A pattern with these entries, read where they lie. PyTorch cannot copy or pickle it: no module holds one."""
    return torch.sparse_csr_tensor(pattern.row_starts, pattern.columns, entries, pattern.shape, check_invariants=False)


with warnings.catch_warnings():  # PyTorch says once in a process that such tensors are in beta: let it be here
    warnings.simplefilter("ignore", UserWarning)
    csr(Pattern.of(torch.zeros(1, dtype=torch.int64), (1, 1)), torch.zeros(1))
