"""Interference as the paper defines it, held against dense products written out."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shira_lab.analysis.interference import Interference, interference, total
from shira_lab.errors import MaskError
from shira_lab.masks import random_mask, struct_mask


def update(m: int, n: int, seed: int, r: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 100)
    mask = random_mask(nn.Linear(n, m), r, random_seed=seed).detach()
    return mask.double() * torch.randn(m, n, dtype=torch.float64, generator=generator)


@given(st.integers(3, 14), st.integers(3, 14), st.integers(0, 5), st.integers(0, 5))
def test_every_number_is_that_of_the_dense_product(m: int, n: int, seed1: int, seed2: int) -> None:
    a1, a2 = update(m, n, seed1), update(m, n, seed2)
    found, product = interference(a1, a2), a1.t() @ a2
    count = (a1 != 0).double().t() @ (a2 != 0).double()
    assert found.entries == m * n and found.sizes == (m + n, m + n) and found.products == n * n
    assert found.overlap == int(((a1 != 0) & (a2 != 0)).sum())
    assert found.zeros == int((count == 0).sum())
    for ours, expected in (
        (found.inner, (a1 * a2).sum()),
        (found.awom, product.norm()),
        (found.awom_spectral, torch.linalg.matrix_norm(product, 2)),
        (found.norms[0], a1.norm()),
        (found.expected_overlap, (m + n) ** 2 / (m * n)),
        (found.awor_predicted, math.exp(-(((m + n) / (m * n)) ** 2) * m)),
        (found.awor_bound, 1 - 2 * (m + n) / (m * n)),
        (found.cosine, (a1 * a2).sum() / a1.norm() / a2.norm()),
    ):
        assert ours == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def test_one_seed_shares_every_entry_and_disjoint_masks_share_none() -> None:
    layer = nn.Linear(40, 30)
    first = random_mask(layer, 2, random_seed=0).detach()
    disjoint = random_mask(layer, 2, random_seed=0, avoid=first).detach()
    same = interference(first, first)
    apart = interference(first, disjoint)
    assert (same.overlap_share, same.cosine) == (1.0, pytest.approx(1.0))
    assert (apart.overlap, apart.inner, apart.cosine) == (0, 0.0, 0.0)
    assert apart.awom > 0, "sharing no entry is not yet sharing no row"


def test_random_masks_share_and_leave_zeros_as_predicted() -> None:
    layer = nn.Linear(300, 400)
    parts = [
        interference(*(random_mask(layer, 4, random_seed=s).detach() for s in (seed, seed + 50))) for seed in range(8)
    ]
    pooled = total(parts)
    # Eight draws: the mean overlap within four standard deviations of a hypergeometric count, AWOR within 0.003.
    assert abs(pooled.overlap - pooled.expected_overlap) < 4 * pooled.expected_overlap**0.5
    assert pooled.awor == pytest.approx(pooled.awor_predicted, abs=0.003)


def test_struct_masks_with_no_common_row_keep_the_papers_bound() -> None:
    m = n = 32
    a1, a2 = torch.zeros(m, n), torch.zeros(m, n)
    a1[:, :3], a2[:, 5:9] = 1, 1
    a1[4], a2[7] = 1, 1
    found = interference(a1, a2)
    assert found.awor >= found.awor_bound
    shared = interference(struct_mask(nn.Linear(n, m), 2), struct_mask(nn.Linear(n, m), 2))
    assert shared.awor < shared.awor_bound, "a common row fills the whole product"


def test_masks_count_where_values_are_still_zero() -> None:
    mask = random_mask(nn.Linear(9, 12), 1, random_seed=0).detach()
    found = interference(torch.zeros(12, 9), torch.zeros(12, 9), mask, mask)
    assert (found.overlap, found.overlap_share, found.inner, found.cosine, found.awom) == (21, 1.0, 0.0, 0.0, 0.0)
    assert found.zeros == int(((mask.t() @ mask) == 0).sum()) < 81


def test_a_model_is_the_block_diagonal_of_its_layers() -> None:
    pairs = [(update(6, 8, 0), update(6, 8, 1)), (update(10, 5, 2), update(10, 5, 3))]
    whole = total(interference(a, b) for a, b in pairs)
    a, b = (torch.block_diag(*side) for side in zip(*pairs, strict=True))
    block = interference(a, b)
    for name in ("sizes", "overlap", "inner", "norms", "awom", "awom_spectral"):
        assert getattr(whole, name) == pytest.approx(getattr(block, name))
    assert whole.entries == 6 * 8 + 10 * 5 and isinstance(whole, Interference)


def test_shapes_that_differ_and_nothing_to_add_up_are_refused() -> None:
    with pytest.raises(MaskError, match=r"Two updates of one weight have one shape; got \(3, 4\) and \(4, 3\)"):
        interference(torch.zeros(3, 4), torch.zeros(4, 3))
    with pytest.raises(MaskError, match="There is no layer that both adapters change"):
        total([])
