"""Two Triton kernels that are measured against what the library does on a GPU: S into a copy of W, and the gradient.

Both read where the entries lie from one bit for each entry of the weight, in words of 32 neighbours of a row, and from
the number of entries before each word. With the bits below its own, an entry finds its place among the values:

    place(i, j) = before[i, j // 32] + popcount(word[i, j // 32] & (2^(j % 32) - 1))

That is mn/4 bytes to read, where a dense gradient in float32 writes 4mn and reads k of them again.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

WORD = 32


@dataclass(frozen=True)
class Bits:
    """Positions of an (m, n) weight as bits.

    Attributes:
        words: (m, ceil(n / 32)) int32, bit j % 32 of a word for column j.
        before: of the same shape, int32: how many entries stand before the word's first.
        k: how many entries there are.
        shape: (m, n).
    """

    words: Tensor
    before: Tensor
    k: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, positions: Tensor, shape: tuple[int, int]) -> "Bits":
        m, n = shape
        wide = triton.cdiv(n, WORD)
        row, column = positions // n, positions % n
        place = row * wide + column // WORD
        words = torch.zeros(m * wide, dtype=torch.int64, device=positions.device)
        words.index_add_(0, place, torch.ones_like(place) << column % WORD)
        counts = torch.bincount(place, minlength=m * wide)
        before = counts.cumsum(0) - counts
        # Bit 31 is the sign of an int32.
        signed = torch.where(words >= 2**31, words - 2**32, words)
        return cls(signed.int().view(m, wide), before.int().view(m, wide), positions.numel(), shape)


@triton.jit
def _places(words, before, row, column, wide, inside):
    """Whether (row, column) is an entry, and its place among the values."""
    at = row * wide + column // 32
    word = tl.load(words + at, mask=inside, other=0)
    bit = column % 32
    below = word & ((1 << bit) - 1)
    # popcount: pairs, then fours, then bytes, then the sum of the bytes; bit 31 is never below, so no sign disturbs.
    below = below - ((below >> 1) & 0x55555555)
    below = (below & 0x33333333) + ((below >> 2) & 0x33333333)
    below = (below + (below >> 4)) & 0x0F0F0F0F
    count = (below & 0xFF) + ((below >> 8) & 0xFF) + ((below >> 16) & 0xFF) + ((below >> 24) & 0xFF)
    return ((word >> bit) & 1) == 1, tl.load(before + at, mask=inside, other=0) + count


@triton.jit
def _plus_kernel(weight, values, words, before, total, scaling, m, n, wide, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < m * n
    entry, place = _places(words, before, at // n, at % n, wide, inside)
    add = tl.load(values + place, mask=inside & entry, other=0.0).to(tl.float32) * scaling
    number = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32) + add
    tl.store(total + at, number.to(total.dtype.element_ty), mask=inside)


def plus(weight: Tensor, values: Tensor, bits: Bits, scaling: float = 1.0) -> Tensor:
    """W + scaling * S in one pass, summed in float32 and rounded once; shape (m, n), W's dtype."""
    m, n = bits.shape
    total, block = torch.empty_like(weight), 1024
    grid = (triton.cdiv(m * n, block),)
    _plus_kernel[grid](weight, values, bits.words, bits.before, total, scaling, m, n, bits.words.shape[1], BLOCK=block)
    return total


@triton.jit
def _gradient_kernel(
    a, b, words, before, entries, tokens, m, n, wide,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, TOKENS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, tokens, TOKENS):
        token = start + tl.arange(0, TOKENS)
        left = tl.load(
            a + token[None, :] * m + rows[:, None], mask=(token[None, :] < tokens) & (rows[:, None] < m), other=0.0
        )
        right = tl.load(
            b + token[:, None] * n + columns[None, :],
            mask=(token[:, None] < tokens) & (columns[None, :] < n), other=0.0,
        )  # fmt: skip
        total = tl.dot(left, right, total, input_precision="ieee")
    inside = (rows[:, None] < m) & (columns[None, :] < n)
    entry, place = _places(words, before, rows[:, None], columns[None, :], wide, inside)
    tl.store(entries + place, total, mask=inside & entry)


def sampled_gradient(a: Tensor, b: Tensor, bits: Bits) -> Tensor:
    """The entries of a^T b at the positions, (k,) float32, for a (tokens, m) and b (tokens, n) of one dtype.

    Each tile of the pattern is multiplied as a whole, in float32 sums that never leave the chip, and its entries are
    written. Each is written once: two runs give the same bits.
    """
    m, n = bits.shape
    entries = torch.empty(bits.k, dtype=torch.float32, device=a.device)
    rows, columns = 64, 64
    grid = (triton.cdiv(m, rows), triton.cdiv(n, columns))
    _gradient_kernel[grid](
        a.contiguous(), b.contiguous(), bits.words, bits.before, entries, len(a), m, n, bits.words.shape[1],
        ROWS=rows, COLUMNS=columns, TOKENS=32,
    )  # fmt: skip
    return entries
