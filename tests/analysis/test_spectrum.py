"""The three ranks are what numpy and scipy compute; the budget is what the paper counts."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import FLOATS

from shira_lab import spectrum
from shira_lab.budget import check_budget, check_r, density, max_r, num_params
from shira_lab.errors import ConfigError

sides = st.integers(1, 12)


@given(sides, sides, st.integers(0, 12), st.integers(0, 100), st.sampled_from([torch.float32, torch.float64]))
def test_ranks_agree_with_numpy_and_scipy(m: int, n: int, rank: int, seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(m, rank, generator=generator), torch.randn(rank, n, generator=generator)
    matrix = (left @ right).to(dtype)
    sigma = np.linalg.svd(matrix.numpy(), compute_uv=False)
    found = spectrum(matrix)
    np.testing.assert_allclose(found.values.numpy(), sigma, atol=1e-5 * max(sigma.max(), 1))
    assert found.rank == np.linalg.matrix_rank(matrix.numpy())
    if rank == 0:
        assert (found.rank, found.stable_rank, found.effective_rank) == (0, 0.0, 0.0)
        return
    norms = np.linalg.norm(matrix.numpy()) ** 2 / np.linalg.norm(matrix.numpy(), 2) ** 2
    assert found.stable_rank == pytest.approx(norms, rel=1e-3)
    assert found.effective_rank == pytest.approx(np.exp(scipy.stats.entropy(sigma)), rel=1e-3)
    assert 1 - 1e-5 <= found.stable_rank <= found.effective_rank + 1e-3 <= min(m, n) + 2e-3


@given(sides, st.sampled_from([1e-30, 1.0, 1e30]))
def test_a_scaled_identity_has_full_rank_in_all_three_senses(n: int, scale: float) -> None:
    found = spectrum(torch.eye(n) * scale)
    assert found.rank == n
    assert found.stable_rank == pytest.approx(n, rel=1e-4) and found.effective_rank == pytest.approx(n, rel=1e-4)


@given(sides, sides, st.integers(0, 3), st.integers(-2, 13), st.sampled_from([1e-200, 1.0, 1e200]), st.integers(0, 99))
def test_float64_values_have_five_digits_however_small_and_whatever_is_empty(
    m: int, n: int, empty: int, decades: int, scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(m, n, generator=generator, dtype=torch.float64)
    matrix *= torch.logspace(0, -decades, m, dtype=torch.float64)[:, None] * scale
    matrix[:empty], matrix[:, n - empty // 2 :] = 0, 0
    sigma = np.linalg.svd(matrix.numpy(), compute_uv=False)
    found = spectrum(matrix)
    np.testing.assert_allclose(found.values.numpy(), sigma, rtol=1e-5, atol=1e-15 * sigma.max())
    assert found.rank == np.linalg.matrix_rank(matrix.numpy())


@pytest.mark.parametrize("dtype", FLOATS)
def test_half_precision_and_sparse_matrices_are_welcome(dtype: torch.dtype) -> None:
    matrix = torch.diag(torch.tensor([4.0, 2.0, 0.0])).to(dtype)
    for form in (matrix, matrix.to_sparse(), matrix.requires_grad_(True)):
        found = spectrum(form)
        assert found.rank == 2 and found.stable_rank == pytest.approx(1.25)
        assert found.values.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@given(st.integers(2, 10_000), st.integers(2, 10_000))
def test_the_largest_r_fits_and_one_more_does_not(m: int, n: int) -> None:
    largest = max_r((m, n))
    assert num_params(largest, (m, n)) <= m * n < num_params(largest + 1, (m, n))
    assert check_budget(largest, (m, n), "layer") == num_params(largest, (m, n)) == largest * (m + n)
    assert density(largest, (m, n)) <= 1 < density(largest + 1, (m, n))


def test_the_budget_of_the_specifications_examples() -> None:
    assert num_params(16, (768, 768)) == 24_576 and num_params(32, (4096, 4096)) == 262_144
    assert density(16, (768, 768)) == pytest.approx(0.0417, abs=1e-4)


@pytest.mark.parametrize("r", [0, -3, 1.0, True, "8", None])
def test_r_is_a_positive_integer(r: object) -> None:
    with pytest.raises(ConfigError, match=f"`r` should be a positive integer value but the value passed is {r!r}"):
        check_r(r)


def test_too_large_an_r_is_answered_with_the_arithmetic() -> None:
    message = (
        r"r=9 is too large for layer 'q': r\(m \+ n\) = 9 \* \(16 \+ 16\) = 288 numbers, but its weight has only "
        r"16 \* 16 = 256. The largest r for this shape is 8\."
    )
    with pytest.raises(ConfigError, match=message):
        check_budget(9, (16, 16), "layer 'q'")
