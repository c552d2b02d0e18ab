"""Heavy-tailed columns make magnitude masks collapse, and the repairs mend it with the same budget."""

import copy
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import FLOATS
from torch import nn

from shira_lab.analysis.rank import structural_rank
from shira_lab.budget import max_r, num_params
from shira_lab.course.masks.heavy_tails import column_spread, heavy_tailed_layer
from shira_lab.course.masks.repairs import (
    column_magnitude_mask,
    diagonal_magnitude_mask,
    normalised_magnitude_mask,
    row_magnitude_mask,
)
from shira_lab.errors import ConfigError, MaskError
from shira_lab.masks import MaskFunction, magnitude_mask

ALL = [diagonal_magnitude_mask, column_magnitude_mask, row_magnitude_mask, normalised_magnitude_mask]
every_mask = pytest.mark.parametrize("mask_fn", ALL, ids=lambda fn: fn.__name__)
SHAPE = (192, 192)


def rank(mask_fn: MaskFunction, layer: nn.Linear, r: int = 4) -> int:
    m, n = layer.weight.shape
    return structural_rank(mask_fn.positions(layer, r), (m, n))


@st.composite
def layers(draw: st.DrawFn) -> tuple[nn.Linear, int]:
    """A layer with ties, zeros and a legal r, in any float type."""
    m, n = draw(st.integers(2, 24)), draw(st.integers(2, 24))
    layer = heavy_tailed_layer((m, n), draw(st.sampled_from([0.0, 1.0])), draw(st.integers(0, 50)))
    coarse = (layer.weight.detach() * draw(st.sampled_from([0.3, 1.0, 100.0]))).round()
    layer.weight = nn.Parameter(coarse.to(draw(st.sampled_from(FLOATS))))
    return layer, draw(st.integers(1, max_r((m, n))))


@every_mask
@given(drawn=layers())
def test_a_repair_has_exactly_the_budget(mask_fn: MaskFunction, drawn: tuple[nn.Linear, int]) -> None:
    layer, r = drawn
    m, n = layer.weight.shape
    before = layer.weight.detach().clone()
    positions = mask_fn.positions(layer, r)
    assert len(positions.unique()) == len(positions) == num_params(r, (m, n))
    assert torch.equal(positions, positions.sort().values)
    assert torch.equal(layer.weight, before)


@given(layers())
def test_a_quota_takes_the_largest_of_each_column(drawn: tuple[nn.Linear, int]) -> None:
    layer, r = drawn
    m, n = layer.weight.shape
    quota = num_params(r, (m, n)) // n
    mask = column_magnitude_mask(layer, r).bool()
    best = layer.weight.detach().abs().sort(dim=0, descending=True, stable=True).indices[:quota]
    assert bool(mask.gather(0, best).all())


@given(layers())
def test_a_quota_takes_the_largest_of_each_row(drawn: tuple[nn.Linear, int]) -> None:
    layer, r = drawn
    quota = num_params(r, tuple(layer.weight.shape)) // layer.weight.shape[0]
    mask = row_magnitude_mask(layer, r).bool()
    best = layer.weight.detach().abs().sort(dim=1, descending=True, stable=True).indices[:, :quota]
    assert bool(mask.gather(1, best).all())


def test_magnitude_collapses_as_column_scales_spread_and_the_repairs_do_not() -> None:
    for seed in range(3):
        plain = [rank(magnitude_mask, heavy_tailed_layer(SHAPE, scale, seed)) for scale in (0.0, 0.25, 0.5, 1.0)]
        assert plain == sorted(plain, reverse=True) and plain[0] > 0.95 * 192 and plain[-1] < 0.4 * 192
        layer = heavy_tailed_layer(SHAPE, 1.0, seed)
        assert rank(diagonal_magnitude_mask, layer) == 192
        assert min(rank(column_magnitude_mask, layer), rank(normalised_magnitude_mask, layer)) > 0.95 * 192


def test_a_row_quota_does_not_repair() -> None:
    layer = heavy_tailed_layer(SHAPE, 1.0, 0)
    assert rank(row_magnitude_mask, layer) < 0.4 * 192


def test_the_diagonal_is_in_and_the_rest_is_magnitude() -> None:
    layer = heavy_tailed_layer((40, 30), 0.5, 0)
    mask, plain = diagonal_magnitude_mask(layer, 2).bool(), magnitude_mask(layer, 2).bool()
    assert bool(mask.diagonal().all())
    off = ~torch.eye(40, 30, dtype=torch.bool)
    assert bool((mask & off <= plain & off).all())


def test_normalising_forgets_the_scale_of_a_column() -> None:
    layer = heavy_tailed_layer((40, 30), 0.0, 0)
    positions = normalised_magnitude_mask.positions(layer, 2)
    layer.weight = nn.Parameter(layer.weight.detach() * torch.logspace(-3, 3, 30))
    assert torch.equal(normalised_magnitude_mask.positions(layer, 2), positions)


def test_columns_of_zeros_come_last_and_do_not_count_as_spread() -> None:
    layer = heavy_tailed_layer((40, 30), 0.5, 0)
    weight = layer.weight.detach().clone()
    spread = column_spread(weight[:, 1:])
    weight[:, 0] = 0
    layer.weight = nn.Parameter(weight)
    assert not normalised_magnitude_mask(layer, 2)[:, 0].any()
    assert column_spread(weight) == pytest.approx(spread)


@pytest.mark.parametrize("scale", [0.0, 0.25, 1.0])
def test_the_spread_of_columns_estimates_their_scale(scale: float) -> None:
    spreads = [column_spread(heavy_tailed_layer((768, 768), scale, seed).weight) for seed in range(3)]
    floor = 1 / (2 * 768) ** 0.5  # what chance alone shows
    assert sum(spreads) / 3 == pytest.approx((scale**2 + floor**2) ** 0.5, rel=0.1)


def test_a_heavy_tailed_weight_is_its_formula_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    layer = heavy_tailed_layer((6, 5), 0.7, 3)
    assert torch.equal(torch.get_rng_state(), before)
    generator = torch.Generator().manual_seed(3)
    z, g = torch.randn(6, 5, generator=generator), torch.randn(5, generator=generator)
    torch.testing.assert_close(layer.weight.detach(), z * torch.exp(0.7 * g))
    assert layer.bias is None


@pytest.mark.parametrize("scale", [1e-4, 3e3])
def test_half_precision_neither_overflows_nor_underflows(scale: float) -> None:
    layer = heavy_tailed_layer((400, 30), 0.5, 0)
    layer.weight = nn.Parameter((layer.weight.detach() * scale).half())
    exact = copy.deepcopy(layer).double()
    assert column_spread(layer.weight) == pytest.approx(column_spread(exact.weight))
    assert torch.equal(normalised_magnitude_mask(layer, 2).double(), normalised_magnitude_mask(exact, 2))


def test_the_same_seed_has_the_same_draws_at_every_scale() -> None:
    flat, tailed = (heavy_tailed_layer((6, 5), scale, 3).weight for scale in (0.0, 1.0))
    ratio = tailed / flat
    torch.testing.assert_close(ratio, ratio[:1].expand(6, 5))
    assert not torch.equal(flat, heavy_tailed_layer((6, 5), 0.0, 4).weight)


@every_mask
def test_what_cannot_be_ranked_or_does_not_fit_is_refused(mask_fn: MaskFunction) -> None:
    layer = heavy_tailed_layer((6, 4), 0.0, 0)
    with pytest.raises(ConfigError, match="The largest r for this shape is 2"):
        mask_fn(layer, 3)
    layer.weight.data[0, 0] = torch.nan
    with pytest.raises(MaskError, match=re.escape("|W| holds NaN or infinite values")):
        mask_fn(layer, 1)
