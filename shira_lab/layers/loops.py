"""Some entries of a^T b in plain loops, for numba to compile; imported only by :mod:`shira_lab.layers.compiled`.

Entry (i, j) is the dot product of column i of a with column j of b, both (tokens, width). Columns are far apart in
memory, so each is first laid out as a line along the tokens, a few tokens at a time: the lines of b then stay in the
second-level cache, where all rows of the pattern find them again. Threads share the tokens out and sum for themselves,
so that none waits for another before the end.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

TOKENS = 64  # at a time: lines of 256 bytes; 768 of them are 192 KiB
TILE_COLUMNS, TILE_TOKENS = 8, 4  # copied with a fixed number of steps, which the compiler turns into shuffles
# Sums in any order, as the processor likes; NaN and infinity stay what they are.
REORDER = {"reassoc", "contract", "nsz"}


@njit(cache=True, fastmath=REORDER, nogil=True)
def _lay_out(matrix: Floats, first: int, lines: Floats) -> None:
    """lines[c, t] = matrix[first + t, c]; zero beyond the last token."""
    count, width = min(TOKENS, matrix.shape[0] - first), matrix.shape[1]
    if count < TOKENS:
        lines[:, count:] = 0
    for c in range(0, width, TILE_COLUMNS):
        for t in range(0, count, TILE_TOKENS):
            if c + TILE_COLUMNS <= width and t + TILE_TOKENS <= count:
                for i in range(TILE_COLUMNS):
                    for j in range(TILE_TOKENS):
                        lines[c + i, t + j] = matrix[first + t + j, c + i]
            else:
                for i in range(c, min(c + TILE_COLUMNS, width)):
                    for j in range(t, min(t + TILE_TOKENS, count)):
                        lines[i, j] = matrix[first + j, i]


@njit(cache=True, fastmath=REORDER, nogil=True)
def _add_dots(lines_a: Floats, lines_b: Floats, row_starts: Ints, columns: Ints, entries: Floats) -> None:
    """entries[e] += the dot product of the two lines that entry e of the pattern names."""
    for i in range(lines_a.shape[0]):
        line, e = lines_a[i], row_starts[i]
        while e + 4 <= row_starts[i + 1]:  # four at once: the line of a is loaded once for them
            b0, b1 = lines_b[columns[e]], lines_b[columns[e + 1]]
            b2, b3 = lines_b[columns[e + 2]], lines_b[columns[e + 3]]
            s0 = s1 = s2 = s3 = np.float32(0)
            for t in range(TOKENS):
                s0 += line[t] * b0[t]
                s1 += line[t] * b1[t]
                s2 += line[t] * b2[t]
                s3 += line[t] * b3[t]
            entries[e] += s0
            entries[e + 1] += s1
            entries[e + 2] += s2
            entries[e + 3] += s3
            e += 4
        for rest in range(e, row_starts[i + 1]):
            total = np.float32(0)
            for t in range(TOKENS):
                total += line[t] * lines_b[columns[rest], t]
            entries[rest] += total


@njit(cache=True, fastmath=REORDER, nogil=True, parallel=True)
def sampled_product(a: Floats, b: Floats, row_starts: Ints, columns: Ints, entries: Floats) -> None:
    """Add to each row of ``entries`` (parts, k) what its share of the tokens gives to those of a^T b at a pattern in
    compressed sparse row form. What is wanted is the sum of the rows."""
    parts = entries.shape[0]
    chunks = (a.shape[0] + TOKENS - 1) // TOKENS
    for part in prange(parts):
        lines_a, lines_b = np.empty((a.shape[1], TOKENS), np.float32), np.empty((b.shape[1], TOKENS), np.float32)
        for chunk in range(part * chunks // parts, (part + 1) * chunks // parts):
            _lay_out(a, chunk * TOKENS, lines_a)
            _lay_out(b, chunk * TOKENS, lines_b)
            _add_dots(lines_a, lines_b, row_starts, columns, entries[part])
