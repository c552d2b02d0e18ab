"""Plain loops over entries of a matrix, for numba to compile; imported only by :mod:`shira_lab.layers.compiled`.

Entry (i, j) of a^T b is the dot product of column i of a with column j of b. Both come turned round, in pieces of a few
tokens, a line of memory for each column: the lines of b then stay in the second-level cache, where all rows of the
pattern find them again. Threads share the rows out, an equal number of entries for each.
"""

import numpy as np
from numba import njit, prange, uint64
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Positions = NDArray[np.int64]

TOKENS = 128  # in a piece: the lines of 768 columns are 384 KiB
# Sums in any order, as the processor likes; NaN and infinity stay what they are.
REORDER = {"reassoc", "contract", "nsz"}


@njit(cache=True, fastmath=REORDER, nogil=True, parallel=True)
def add_dots(lines_a: Floats, lines_b: Floats, row_starts: Ints, columns: Ints, entries: Floats, threads: int) -> None:
    """entries[e] += the dot products of the lines that entry e names, for lines (pieces, m, tokens) and (pieces, n,
    tokens) and a pattern in compressed sparse row form."""
    tokens = lines_a.shape[2]
    for part in prange(threads):
        for piece in range(lines_a.shape[0]):
            for i in range(_row_of(part, threads, row_starts), _row_of(part + 1, threads, row_starts)):
                # Unsigned: a signed index may be negative, which costs as much to look at as the sum itself.
                first, last = uint64(row_starts[i]), uint64(row_starts[i + 1])
                if tokens == TOKENS:  # loops of a known length come out faster
                    _add_row(lines_a[piece, i], lines_b[piece], columns, first, last, TOKENS, entries)
                else:
                    _add_row(lines_a[piece, i], lines_b[piece], columns, first, last, tokens, entries)


@njit(cache=True, nogil=True)
def _row_of(part: int, parts: int, row_starts: Ints) -> int:
    """The row at which a part of the entries begins."""
    return np.searchsorted(row_starts, part * row_starts[-1] // parts, "right") - 1 if part else 0


@njit(cache=True, fastmath=REORDER, nogil=True)
def _add_row(line: Floats, lines: Floats, columns: Ints, first: int, last: int, tokens: int, entries: Floats) -> None:
    e = uint64(first)
    while e + uint64(4) <= last:  # four at once: the line of a is loaded once for them
        e1, e2, e3 = e + uint64(1), e + uint64(2), e + uint64(3)
        b0, b1 = lines[uint64(columns[e])], lines[uint64(columns[e1])]
        b2, b3 = lines[uint64(columns[e2])], lines[uint64(columns[e3])]
        s0 = s1 = s2 = s3 = np.float32(0)
        for t in range(tokens):
            s0 += line[t] * b0[t]
            s1 += line[t] * b1[t]
            s2 += line[t] * b2[t]
            s3 += line[t] * b3[t]
        entries[e] += s0
        entries[e1] += s1
        entries[e2] += s2
        entries[e3] += s3
        e = e3 + uint64(1)
    for rest in range(e, last):
        b0 = lines[uint64(columns[rest])]
        s0 = np.float32(0)
        for t in range(tokens):
            s0 += line[t] * b0[t]
        entries[rest] += s0


@njit(cache=True, nogil=True, parallel=True)
def read(flat: Floats, positions: Positions, entries: Floats) -> None:
    """entries[e] = flat[positions[e]]"""
    for e in prange(positions.shape[0]):
        entries[e] = flat[uint64(positions[e])]


@njit(cache=True, nogil=True, parallel=True)
def write(flat: Floats, positions: Positions, entries: Floats) -> None:
    """flat[positions[e]] = entries[e]"""
    for e in prange(positions.shape[0]):
        flat[uint64(positions[e])] = entries[e]
