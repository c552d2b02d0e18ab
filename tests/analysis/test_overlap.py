"""Two masks of one weight: what they share, what chance gives, and a picture in which nothing shared is hidden."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from shira_lab.analysis.overlap import Overlap, common, overlap
from shira_lab.budget import num_params
from shira_lab.course.figures.overlap import BOTH, FIRST, NEITHER, SECOND, overlap_pixels
from shira_lab.masks.positions import layer_seed, random_positions

Masks = tuple[tuple[int, int], set[int], set[int]]


@st.composite
def two_masks(draw: st.DrawFn) -> Masks:
    m, n = draw(st.integers(1, 24)), draw(st.integers(2, 24))
    some = st.sets(st.integers(0, m * n - 1), min_size=1)
    return (m, n), draw(some), draw(some)


def positions(entries: set[int]) -> torch.Tensor:
    return torch.tensor(sorted(entries))


@given(two_masks())
def test_an_overlap_counts_as_sets_do(masks: Masks) -> None:
    (m, n), first, second = masks
    assert common(positions(first), positions(second)).tolist() == sorted(first & second)
    found = overlap(positions(first), positions(second), (m, n))
    assert found == Overlap(len(first), len(second), len(first & second), m * n)
    assert (found.share == 1) == (first <= second or second <= first)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # scipy's, from moments that nobody asks for
@given(two_masks())
def test_chance_is_the_hypergeometric_distribution(masks: Masks) -> None:
    (m, n), first, second = masks
    found = overlap(positions(first), positions(second), (m, n))
    chance = hypergeom(m * n, len(first), len(second))
    assert found.expected == pytest.approx(chance.mean())
    assert found.deviation == pytest.approx(chance.std(), abs=1e-9)


def test_seeds_of_their_own_bring_two_layers_down_to_chance() -> None:
    shape = (192, 192)
    k = num_params(8, shape)
    same = overlap(random_positions(shape, k, 0), random_positions(shape, k, 0), shape)
    own = overlap(*(random_positions(shape, k, layer_seed(0, path)) for path in ("q_proj", "k_proj")), shape)
    assert same.share == 1
    assert abs(own.both - own.expected) < 5 * own.deviation


@given(two_masks())
def test_a_picture_of_two_masks_tells_each_entry_apart(masks: Masks) -> None:
    (m, n), first, second = masks
    codes = overlap_pixels(positions(first), positions(second), (m, n)).flatten()
    for code, entries in ((FIRST, first - second), (SECOND, second - first), (BOTH, first & second)):
        assert set(np.flatnonzero(codes == code).tolist()) == entries


@given(two_masks(), st.integers(1, 12))
def test_a_pooled_picture_hides_no_shared_entry_and_shows_the_mask_with_more(masks: Masks, max_pixels: int) -> None:
    (m, n), first, second = masks
    codes = overlap_pixels(positions(first), positions(second), (m, n), max_pixels)
    side = -(-max(m, n) // max_pixels)
    for (row, column), code in np.ndenumerate(codes):
        below = {p for p in range(m * n) if (p // n // side, p % n // side) == (row, column)}
        one, two, both = len(below & first), len(below & second), len(below & first & second)
        expected = BOTH if both else NEITHER if one + two == 0 else FIRST if one >= two else SECOND
        assert code == expected
