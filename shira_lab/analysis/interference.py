"""How much two updates of one weight get into each other's way: shared entries, and products that are not zero.

With A1, A2 of shape (m, n), out_features first, their outputs for any inputs x, y have the inner product
x^T A1^T A2 y, so A1^T A2 = 0 keeps the two apart. "Sparse High Rank Adapters" (arXiv 2406.13175, section 3) measures
the norm of that (n, n) matrix (AWOM) and the share of its zeros (AWOR). The paper writes weights as (n, m): its m and n
are n and m here. AWOR hardly sees shared entries, so those and <A1, A2>_F are reported beside it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from shira_lab.errors import MaskError

_CHUNK = 1024  # columns of A1 at a time, so that the (n, n) product is never whole in memory


@dataclass(frozen=True)
class Interference:
    """What two updates share, on one layer or, by :func:`total`, on several.

    Attributes:
        entries: numbers in the weight, mn.
        sizes: entries that each update may change (the ones of its mask).
        overlap: entries that both may change.
        expected_overlap: what two independent random masks of these sizes share on average, sizes[0] * sizes[1] / mn.
        inner: <A1, A2>_F, the sum of the products of equal entries; exactly 0 when there is no overlap.
        norms: ||A1||_F and ||A2||_F.
        awom: ||A1^T A2||_F.
        awom_spectral: ||A1^T A2||_2; the largest one of several layers.
        products: entries of A1^T A2, n^2.
        zeros: entries of A1^T A2 that are zero because no row holds entries of both updates there.
        predicted_zeros: what random masks of these sizes have, n^2 exp(-p1 p2 m) with densities p = size / mn.
        bound_zeros: n^2 (1 - p1 - p2), the paper's lower bound for Struct masks; others may lie below it.
    """

    entries: int
    sizes: tuple[int, int]
    overlap: int
    expected_overlap: float
    inner: float
    norms: tuple[float, float]
    awom: float
    awom_spectral: float
    products: int
    zeros: int
    predicted_zeros: float
    bound_zeros: float

    @property
    def overlap_share(self) -> float:
        """overlap / the smaller size: 1 when one mask lies inside the other."""
        return self.overlap / max(1, min(self.sizes))

    @property
    def expected_share(self) -> float:
        return self.expected_overlap / max(1, min(self.sizes))

    @property
    def cosine(self) -> float:
        """<A1, A2>_F / (||A1||_F ||A2||_F), 0 where an update is zero."""
        product = self.norms[0] * self.norms[1]
        return self.inner / product if product else 0.0

    @property
    def awor(self) -> float:
        """Share of zeros of A1^T A2."""
        return self.zeros / self.products

    @property
    def awor_predicted(self) -> float:
        """What random masks of these sizes have: exp(-p1 p2 m)."""
        return self.predicted_zeros / self.products

    @property
    def awor_bound(self) -> float:
        """1 - (p1 + p2), the paper's lower bound for Struct masks; other masks may lie below it."""
        return self.bound_zeros / self.products


def interference(
    delta1: Tensor, delta2: Tensor, mask1: Tensor | None = None, mask2: Tensor | None = None
) -> Interference:
    """What two updates of one weight share, measured in float64.

    >>> both = interference(torch.eye(2), torch.ones(2, 2))
    >>> both.overlap, both.inner, both.awom
    (2, 2.0, 2.0)

    Args:
        delta1, delta2: the dense updates (m, n), out_features first.
        mask1, mask2: (m, n), the entries that each update may change; left out, those that are not zero. With masks, an
            untrained adapter shows what its positions alone decide.

    Raises:
        MaskError: when the shapes differ.
    """
    a1, a2 = delta1.detach().double(), delta2.detach().double()
    s1, s2 = (a1 if mask1 is None else mask1) != 0, (a2 if mask2 is None else mask2) != 0
    if len({tuple(t.shape) for t in (a1, a2, s1, s2)}) != 1:
        raise MaskError(f"Two updates of one weight have one shape; got {tuple(a1.shape)} and {tuple(a2.shape)}.")
    m, n = a1.shape
    sizes = int(s1.sum()), int(s2.sum())
    p1, p2 = sizes[0] / (m * n), sizes[1] / (m * n)
    frobenius, spectral = _product_norms(a1, a2)
    return Interference(
        entries=m * n,
        sizes=sizes,
        overlap=int((s1 & s2).sum()),
        expected_overlap=sizes[0] * sizes[1] / (m * n),
        inner=float((a1 * a2).sum()),
        norms=(float(a1.norm()), float(a2.norm())),
        awom=frobenius,
        awom_spectral=spectral,
        products=n * n,
        zeros=_zeros(s1, s2),
        predicted_zeros=n * n * math.exp(-p1 * p2 * m),
        bound_zeros=n * n * (1 - p1 - p2),
    )


def total(parts: Iterable[Interference]) -> Interference:
    """Several layers as one block-diagonal update: counts and squares of norms add up, the largest spectral norm stays.

    >>> total([interference(torch.eye(2), torch.ones(2, 2))] * 3).overlap
    6

    Raises:
        MaskError: when there is no layer.
    """
    parts = list(parts)
    if not parts:
        raise MaskError("There is no layer that both adapters change, so there is nothing to add up.")

    return Interference(
        entries=sum(p.entries for p in parts),
        sizes=(sum(p.sizes[0] for p in parts), sum(p.sizes[1] for p in parts)),
        overlap=sum(p.overlap for p in parts),
        expected_overlap=sum(p.expected_overlap for p in parts),
        inner=sum(p.inner for p in parts),
        norms=(math.hypot(*(p.norms[0] for p in parts)), math.hypot(*(p.norms[1] for p in parts))),
        awom=math.hypot(*(p.awom for p in parts)),
        awom_spectral=max(p.awom_spectral for p in parts),
        products=sum(p.products for p in parts),
        zeros=sum(p.zeros for p in parts),
        predicted_zeros=sum(p.predicted_zeros for p in parts),
        bound_zeros=sum(p.bound_zeros for p in parts),
    )


def _product_norms(a1: Tensor, a2: Tensor) -> tuple[float, float]:
    """Frobenius and spectral norm of A1^T A2, from a matrix of the smaller side.

    With A1^T = Q1 R1 and A2^T = Q2 R2, A1^T A2 = Q1 (R1 R2^T) Q2^T, and the Q change no norm.
    """
    m, n = a1.shape
    if m < n:
        r1, r2 = torch.linalg.qr(a1.t(), mode="r").R, torch.linalg.qr(a2.t(), mode="r").R
        core = r1 @ r2.t()
    else:
        core = a1.t() @ a2
    return float(core.norm()), float(torch.linalg.matrix_norm(core, ord=2))


def _zeros(mask1: Tensor, mask2: Tensor) -> int:
    """Pairs of columns, one of each mask, that have no row in common. Counts up to m are exact in float32."""
    s1, s2 = mask1.float(), mask2.float()
    return sum(int(((chunk.t() @ s2) == 0).sum()) for chunk in s1.split(_CHUNK, dim=1))
