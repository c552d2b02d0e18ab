"""The parameter budget: how many entries of an (m, n) weight an adapter of size ``r`` trains.

SHiRA has exactly as many trainable parameters as LoRA of rank ``r``, r(m + n) (paper, section 3): LoRA's are the
factors (m, r) and (r, n), SHiRA's are entries of the weight itself.
"""

from shira_lab.errors import ConfigError

Shape = tuple[int, int]


def num_params(r: int, shape: Shape) -> int:
    """Trainable parameters of one adapted layer, r(m + n), for a weight of ``shape`` (m, n).

    >>> num_params(8, (768, 768))
    12288
    """
    m, n = shape
    return r * (m + n)


def max_r(shape: Shape) -> int:
    """The largest r whose budget fits into the weight: r(m + n) <= mn, so floor(mn / (m + n)).

    >>> max_r((768, 768))
    384
    """
    m, n = shape
    return m * n // (m + n)


def density(r: int, shape: Shape) -> float:
    """Share of the weight's entries that are trainable, r(m + n) / (mn). Below 0.10 is the usual advice.

    >>> density(8, (512, 512))
    0.03125
    """
    m, n = shape
    return num_params(r, shape) / (m * n)


def check_r(r: object, field: str = "r") -> int:
    """Return ``r`` if it is a positive integer.

    >>> check_r(0)
    Traceback (most recent call last):
        ...
    shira_lab.errors.ConfigError: `r` should be a positive integer value but the value passed is 0.

    Raises:
        ConfigError: for anything else, a bool included.
    """
    if isinstance(r, bool) or not isinstance(r, int) or r <= 0:
        raise ConfigError(f"`{field}` should be a positive integer value but the value passed is {r!r}.")
    return r


def check_budget(r: object, shape: Shape, layer: str) -> int:
    """Return the budget r(m + n) if ``r`` is legal for ``shape``.

    >>> check_budget(8, (768, 768), "q_proj")
    12288

    Raises:
        ConfigError: when r is no positive integer, or r(m + n) > mn; the message gives the largest legal r.
    """
    r = check_r(r)
    m, n = shape
    k = num_params(r, shape)
    if k > m * n:
        raise ConfigError(
            f"r={r} is too large for {layer}: r(m + n) = {r} * ({m} + {n}) = {k:,} numbers, but its weight has only "
            f"{m} * {n} = {m * n:,}. The largest r for this shape is {max_r(shape)}."
        )
    return k
