"""Drawn masks: any drawing on any weight gives the exact budget, on the paint first, and PEFT gets the same mask."""

import warnings
from typing import Any

import numpy as np
import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_cdt
from tiny import FLOATS, layers, tiny_opt
from torch import Tensor, nn

import shira_lab
from shira_lab.budget import max_r, num_params
from shira_lab.course.masks.drawn import drawn_mask, drawn_positions, rings, stretched
from shira_lab.course.masks.drawn_source import drawn_source
from shira_lab.errors import ConfigError
from shira_lab.masks import mask_positions
from shira_lab.masks.positions import from_indices

CROSS = torch.eye(8, dtype=torch.bool) | torch.eye(8, dtype=torch.bool).flip(0)


@st.composite
def drawings(draw: st.DrawFn) -> Tensor:
    """Painted cells of any size, often few of them, sometimes none."""
    a, b = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    painted = draw(st.sets(st.integers(0, a * b - 1), max_size=draw(st.sampled_from([0, 3, a * b]))))
    cells = torch.zeros(a * b, dtype=torch.bool)
    cells[list(painted)] = True
    return cells.view(a, b)


@st.composite
def sizes(draw: st.DrawFn) -> tuple[tuple[int, int], int]:
    """A shape, and the budget of a legal r, often the largest."""
    m, n = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    largest = max_r((m, n))
    return (m, n), num_params(draw(st.sampled_from([1, largest]) | st.integers(1, largest)), (m, n))


seeds = st.integers(0, 2**32)


@given(drawings(), sizes(), seeds)
def test_every_drawing_gives_exactly_the_budget_on_every_weight(
    cells: Tensor, size: tuple[tuple[int, int], int], seed: int
) -> None:
    (m, n), k = size
    positions = drawn_positions(cells, (m, n), k, seed)
    assert len(set(positions.tolist())) == k
    assert torch.equal(positions, positions.sort().values) and positions[0] >= 0 and positions[-1] < m * n


@given(drawings(), sizes(), seeds)
def test_entries_nearer_to_the_paint_are_taken_before_those_farther_away(
    cells: Tensor, size: tuple[tuple[int, int], int], seed: int
) -> None:
    shape, k = size
    chosen = drawn_positions(cells, shape, k, seed)
    ring = stretched(rings(cells), shape).flatten()
    left_out = torch.ones_like(ring, dtype=torch.bool).index_fill(0, chosen, False)
    assert not left_out.any() or ring[chosen].max() <= ring[left_out].min()


@given(drawings(), sizes(), seeds)
def test_paint_is_thinned_where_it_lies_and_kept_whole_where_it_is_too_little(
    cells: Tensor, size: tuple[tuple[int, int], int], seed: int
) -> None:
    shape, k = size
    under = stretched(cells, shape).flatten()
    chosen = torch.zeros_like(under).index_fill(0, drawn_positions(cells, shape, k, seed), True)
    assert int((chosen & under).sum()) == min(k, int(under.sum()))


@given(drawings(), sizes(), seeds, st.data())
def test_the_mask_of_a_smaller_budget_lies_inside_that_of_a_larger(
    cells: Tensor, size: tuple[tuple[int, int], int], seed: int, data: st.DataObject
) -> None:
    shape, k = size
    few = set(drawn_positions(cells, shape, data.draw(st.integers(1, k)), seed).tolist())
    assert few <= set(drawn_positions(cells, shape, k, seed).tolist())


@given(drawings())
def test_rings_are_the_chessboard_distance_from_the_paint(cells: Tensor) -> None:
    expected = distance_transform_cdt(~cells.numpy(), "chessboard") if cells.any() else np.zeros(cells.shape)
    assert (rings(cells).numpy() == expected).all()


@given(drawings(), st.integers(1, 5), st.integers(1, 5))
def test_a_weight_of_whole_cells_has_equal_blocks_under_them(cells: Tensor, high: int, wide: int) -> None:
    (a, b), block = cells.shape, torch.ones(high, wide, dtype=torch.bool)
    assert torch.equal(stretched(cells, (a * high, b * wide)), torch.kron(cells, block))


def test_a_picture_that_is_too_fine_keeps_the_cells_under_the_centres() -> None:
    assert stretched(torch.arange(9).view(3, 3), (1, 1)).tolist() == [[4]]
    assert stretched(torch.arange(8).view(1, 8), (1, 4)).tolist() == [[1, 3, 5, 7]]


def test_a_seed_reproduces_the_choice_and_another_seed_makes_another() -> None:
    assert torch.equal(drawn_positions(CROSS, (40, 40), 160, 5), drawn_positions(CROSS, (40, 40), 160, 5))
    assert not torch.equal(drawn_positions(CROSS, (40, 40), 160, 5), drawn_positions(CROSS, (40, 40), 160, 6))


def test_a_drawing_leaves_the_global_generator_alone_and_has_the_seed_0_unless_told() -> None:
    before = torch.get_rng_state()
    drawn_positions(CROSS, (40, 40), 160, 5)
    assert torch.equal(torch.get_rng_state(), before)
    layer = nn.Linear(24, 16)
    assert torch.equal(drawn_mask(CROSS)(layer, 2), drawn_mask(CROSS, seed=0)(layer, 2))


def test_without_paint_the_entries_are_spread_over_the_whole_weight() -> None:
    blank = torch.zeros(8, 8, dtype=torch.bool)
    rows = drawn_positions(blank, (64, 64), 1024, 0) // 64
    counts = torch.bincount(rows, minlength=64)
    # Each row has 16 on average, with a standard deviation of 3.4.
    assert counts.min() > 16 - 5 * 3.4 and counts.max() < 16 + 5 * 3.4


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_drawing_is_a_mask_function_for_any_layer(dtype: torch.dtype) -> None:
    layer = nn.Linear(24, 16, dtype=dtype)
    positions = mask_positions(drawn_mask(CROSS, seed=3), layer, 2)  # checks shape, dtype, values and count
    assert torch.equal(positions, drawn_positions(CROSS, (16, 24), 80, 3))
    with pytest.raises(ConfigError, match=r"The largest r for this shape is 9\."):
        drawn_mask(CROSS)(layer, 10)


# ---- the file for PEFT ----------------------------------------------------------------------------------------------


def run(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(source, "drawn.py", "exec"), names)
    return names


def test_the_exported_file_needs_torch_alone() -> None:
    source = drawn_source(CROSS, seed=3, name="cross", r=2)
    imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert imports == ["import torch", "from torch import Tensor"] and "shira_lab" not in source
    assert 'mask_type="cross"' in source and "#......#\n.#....#.\n" in source


@given(drawings(), sizes(), st.integers(0, 2**32))
def test_the_exported_function_gives_our_mask(cells: Tensor, size: tuple[tuple[int, int], int], seed: int) -> None:
    (m, n), k = size
    layer = nn.Linear(n, m, bias=False)
    exported = run(drawn_source(cells, seed, "drawn", 1))["drawn"]
    assert torch.equal(exported(layer, k // (m + n), bias=True), drawn_mask(cells, seed)(layer, k // (m + n)))


def test_the_exported_function_refuses_a_budget_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="r=13 is too large for a weight of 16 x 48; the largest is 12"):
        run(drawn_source(CROSS, 0, "drawn", 1))["drawn"](nn.Linear(48, 16), 13)


def test_peft_trains_the_positions_that_we_train() -> None:
    exported = run(drawn_source(CROSS, 3, "drawn", 2))["drawn"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT does not know the mask type
        config = peft.ShiraConfig(r=2, mask_type="drawn", target_modules=["q_proj", "fc1"])
    config.mask_fn = exported
    theirs = peft.get_peft_model(tiny_opt(), config)
    ours = shira_lab.get_peft_model(
        tiny_opt(),
        shira_lab.ShiraConfig(r=2, target_modules=["q_proj", "fc1"], mask_fn=drawn_mask(CROSS, 3)),
    )
    indices = [module.shira_indices["default"] for module in theirs.modules() if hasattr(module, "shira_indices")]
    assert len(indices) == len(layers(ours)) == 4
    for layer, found in zip(layers(ours), indices, strict=True):
        m, n = layer.weight.shape
        positions = from_indices(layer.shira_indices["default"], (m, n))
        assert len(positions) == 2 * (m + n)
        assert torch.equal(positions, from_indices(found, (m, n)).sort().values)
