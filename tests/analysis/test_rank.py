"""The rank that a mask allows is what scipy, Koenig and chance say it is, and random values attain it."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import structural_rank as scipy_structural_rank
from torch import Tensor, nn

from shira_lab.analysis.rank import (
    RankReport,
    empty_rows_if_independent,
    expected_empty_rows,
    expected_rank,
    lora_spectrum,
    random_delta,
    smallest_cover,
    structural_rank,
)
from shira_lab.analysis.spectrum import spectrum
from shira_lab.budget import Shape, max_r, num_params
from shira_lab.masks import find_mask, mask_positions, mask_types
from shira_lab.masks.function import calibrated_by
from shira_lab.masks.positions import random_positions

WITHOUT_DATA = [name for name in mask_types() if calibrated_by(find_mask(name)) is None]
SEEDS = range(200)


@st.composite
def supports(draw: st.DrawFn) -> tuple[Tensor, Shape]:
    """Any set of positions, the empty and the full one included, in any small shape."""
    m, n = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    chosen = draw(st.sets(st.integers(0, m * n - 1)))
    return torch.tensor(sorted(chosen), dtype=torch.int64), (m, n)


@st.composite
def masks(draw: st.DrawFn) -> tuple[Tensor, Shape]:
    """A mask of any type in a shape up to 24 x 24."""
    m, n = draw(st.integers(2, 24)), draw(st.integers(2, 24))
    mask_fn = find_mask(draw(st.sampled_from(WITHOUT_DATA)))
    assert mask_fn is not None
    r, seed = draw(st.integers(1, max_r((m, n)))), draw(st.integers(0, 99))
    return mask_positions(mask_fn, nn.Linear(n, m), r, random_seed=seed), (m, n)


either = st.one_of(supports(), masks())


def dense(positions: Tensor, shape: Shape) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask.reshape(-1)[positions.numpy()] = True
    return mask


def drawn(shape: Shape, k: int) -> list[RankReport]:
    return [RankReport(random_positions(shape, k, seed), shape) for seed in SEEDS]


# ---- one mask -------------------------------------------------------------------------------------------------------


@given(either)
def test_the_structural_rank_is_scipys(support: tuple[Tensor, Shape]) -> None:
    assert structural_rank(*support) == scipy_structural_rank(csr_array(dense(*support)))


@given(either)
def test_the_smallest_cover_covers_every_entry_with_as_many_lines_as_the_structural_rank(
    support: tuple[Tensor, Shape],
) -> None:
    cover = smallest_cover(*support)
    left = dense(*support)
    left[cover.rows.numpy()] = False
    left[:, cover.columns.numpy()] = False
    assert not left.any()
    assert cover.size == structural_rank(*support)


@given(either, st.integers(0, 2**31))
def test_random_values_attain_the_structural_rank(support: tuple[Tensor, Shape], seed: int) -> None:
    assert RankReport(*support, values_seed=seed).spectrum.rank == structural_rank(*support)


@given(either)
def test_no_values_exceed_the_structural_rank(support: tuple[Tensor, Shape]) -> None:
    ones = torch.from_numpy(dense(*support)).double()
    assert spectrum(ones).rank <= structural_rank(*support)


@given(either)
def test_empty_rows_are_those_without_an_entry(support: tuple[Tensor, Shape]) -> None:
    report = RankReport(*support)
    assert report.empty_rows == int((~dense(*support).any(axis=1)).sum())
    assert report.entries == len(support[0]) and report.structural_rank <= support[1][0] - report.empty_rows


def test_the_same_seed_gives_the_same_values() -> None:
    positions = torch.arange(0, 36, 5)
    first, second, other = (random_delta(positions, (6, 6), seed) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert int(first.count_nonzero()) == len(positions) and first.dtype == torch.float64


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 24), st.integers(0, 100))
def test_a_lora_spectrum_is_that_of_the_product(m: int, n: int, r: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(m, r, generator=generator, dtype=torch.float64)
    a_t = torch.randn(n, r, generator=generator, dtype=torch.float64)
    product, found = spectrum(b @ a_t.T), lora_spectrum(r, (m, n), seed)
    assert found.rank == product.rank == min(r, m, n)
    largest = product.values[: found.rank]
    torch.testing.assert_close(found.values[: found.rank], largest, rtol=1e-9, atol=1e-9)


# ---- a random mask, before it is drawn ------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_expected_empty_rows_are_counted_in_whole_numbers(m: int, n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, m * n))
    exact = m * math.comb(m * n - n, k) / math.comb(m * n, k)
    assert expected_empty_rows((m, n), k) == pytest.approx(exact, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("shape", "r"), [((64, 64), 1), ((96, 48), 1), ((48, 96), 1), ((40, 40), 3)])
def test_drawn_masks_have_the_expected_empty_rows(shape: Shape, r: int) -> None:
    k = num_params(r, shape)
    expected = expected_empty_rows(shape, k)
    mean = sum(report.empty_rows for report in drawn(shape, k)) / len(SEEDS)
    # Rows compete for entries, so the count varies less than m independent rows would: variance <= mean.
    assert mean == pytest.approx(expected, abs=5 * math.sqrt(expected / len(SEEDS)))


@pytest.mark.parametrize("shape", [(768, 768), (3072, 768), (192, 192)])
@pytest.mark.parametrize("r", [1, 2, 4])
def test_the_usual_approximation_is_close_where_a_mask_is_sparse_and_never_too_low(shape: Shape, r: int) -> None:
    k = num_params(r, shape)
    exact, usual = expected_empty_rows(shape, k), empty_rows_if_independent(shape, k)
    assert exact <= usual <= 1.1 * exact


@pytest.mark.parametrize(
    ("shape", "k"), [((192, 192), 96), ((192, 192), 384), ((192, 192), 768), ((300, 100), 400), ((100, 300), 400)]
)
def test_drawn_masks_have_the_expected_rank(shape: Shape, k: int) -> None:
    mean = sum(report.structural_rank for report in drawn(shape, k)) / len(SEEDS)
    assert mean == pytest.approx(expected_rank(shape, k), abs=0.01 * min(shape))


def test_the_rank_of_the_paper_sized_example() -> None:
    assert round(expected_rank((768, 768), 1536)) == 602
    assert round(expected_empty_rows((768, 768), 1536)) == 104
    assert expected_rank((3072, 768), 61440) == pytest.approx(768)


def test_importing_the_package_leaves_scipy_alone() -> None:
    look = "import shira_lab.analysis.rank, sys; print('scipy' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_a_normalised_spectrum_has_norm_one_and_the_same_ranks() -> None:
    plain = RankReport(random_positions((30, 20), 100, 0), (30, 20)).spectrum
    scaled = plain.normalised
    assert float(scaled.values.square().sum()) == pytest.approx(1)
    assert scaled.rank == plain.rank and scaled.shape == plain.shape
    assert scaled.stable_rank == pytest.approx(plain.stable_rank)
    assert scaled.effective_rank == pytest.approx(plain.effective_rank)
    zero = spectrum(torch.zeros(3, 4))
    assert torch.equal(zero.normalised.values, zero.values)
