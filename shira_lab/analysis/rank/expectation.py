"""What to expect of a random mask before drawing it: its empty rows and its rank, from the shape and k alone."""

from math import exp, lgamma

from shira_lab.budget import Shape

ROUNDS = 1000  # towards a fixed point that tens of rounds find, unless k/m and k/n are near e


def expected_empty_rows(shape: Shape, k: int) -> float:
    """Rows without an entry when k of the mn positions are drawn without replacement: m C(mn - n, k) / C(mn, k).

    A row is empty if all k come from the mn - n positions outside it. For columns, give the shape as (n, m).

    >>> round(expected_empty_rows((768, 768), 768), 1)
    282.2
    """
    m, n = shape
    if k > m * n - n:
        return 0.0
    return m * exp(_log_ways(m * n - n, k) - _log_ways(m * n, k))


def empty_rows_if_independent(shape: Shape, k: int) -> float:
    """The usual approximation: each entry drawn by itself with probability p = k / (mn), so m (1 - p)^n.

    >>> round(empty_rows_if_independent((768, 768), 768), 1)
    282.3
    """
    m, n = shape
    return m * (1 - k / (m * n)) ** n


def expected_rank(shape: Shape, k: int) -> float:
    """The structural rank of a random mask of k entries, in the limit of a large and sparse (m, n) matrix.

    With k/m entries to a row and k/n to a column on average:

        rank = m (1 - w) + n (1 - u) - k w u,    w = exp(-(k/m) u),    u = exp(-(k/n) w).

    Where the two equations have several solutions, the one with the smallest rank counts (Karp & Sipser 1981, for
    matchings of random graphs; Bordenave, Lelarge & Salez 2011, for ranks).

    >>> round(expected_rank((768, 768), 768), 1)
    417.8
    """
    m, n = shape
    ranks = []
    for w in (0.0, 1.0):  # the rounds climb to the smallest w, and fall to the largest
        for _ in range(ROUNDS):
            u = exp(-k / n * w)
            w = exp(-k / m * u)
        ranks.append(m * (1 - w) + n * (1 - u) - k * w * u)
    return min(ranks)


def _log_ways(n: int, k: int) -> float:
    """ln (n over k)."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
