"""Published masks choose what their papers choose, within r(m + n); that count is tested with those of all masks."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import FLOATS, tiny_opt, tokens
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from shira_lab import ShiraConfig, calibrate, get_peft_model, spectrum
from shira_lab.budget import max_r, num_params
from shira_lab.errors import MaskError
from shira_lab.masks import (
    columns_mask,
    gradient_block_mask,
    lift_mask,
    magnitude_mask,
    mask_types,
    register_mask,
    smallest_mask,
    wanda_mask,
)


def linear(m: int, n: int, seed: int = 0) -> nn.Linear:
    layer = nn.Linear(n, m, bias=False)
    layer.weight.data = torch.randn(m, n, generator=torch.Generator().manual_seed(seed))
    return layer


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int, int]:
    """(m, n, r) with a legal r."""
    m, n = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    return m, n, draw(st.integers(1, max_r((m, n))))


@given(sizes())
def test_the_smallest_and_the_largest_share_nothing_while_there_is_room(size: tuple[int, int, int]) -> None:
    m, n, r = size
    layer = linear(m, n)
    small = smallest_mask(layer, r).bool()
    weight = layer.weight.detach().abs()
    assert weight[small].max() <= (weight[~small].min() if (~small).any() else torch.inf)
    shared = int((small & magnitude_mask(layer, r).bool()).sum())
    assert shared == max(0, 2 * num_params(r, (m, n)) - m * n)


@given(sizes(), st.data())
def test_lift_takes_the_largest_entries_of_scipys_low_rank_approximation(
    size: tuple[int, int, int], data: st.DataObject
) -> None:
    m, n, r = size
    rank = data.draw(st.none() | st.integers(1, min(m, n)))
    layer = linear(m, n)
    u, s, vh = scipy.linalg.svd(layer.weight.detach().double().numpy(), full_matrices=False)
    p = rank or r
    near = np.abs((u[:, :p] * s[:p]) @ vh[:p])
    chosen = lift_mask(layer, r, approximation_rank=rank).bool().numpy()
    assert near[chosen].min() >= near[~chosen].max(initial=0) - 1e-5 * s[0]


def test_lift_of_the_full_rank_is_magnitude() -> None:
    layer = linear(12, 18)
    assert torch.equal(lift_mask(layer, 2, approximation_rank=12), magnitude_mask(layer, 2))


@pytest.mark.parametrize("rank", [0, 13, True, 1.5])
def test_lift_refuses_a_rank_that_no_matrix_of_this_shape_has(rank: object) -> None:
    with pytest.raises(MaskError, match=rf"`approximation_rank` should be from 1 to min\(m, n\) = 12; got {rank!r}\."):
        lift_mask(linear(12, 18), 2, approximation_rank=rank)


def test_lift_names_a_weight_that_is_not_finite() -> None:
    layer = linear(12, 18)
    layer.weight.data[0, 0] = torch.nan
    with pytest.raises(MaskError, match="W holds NaN or infinite values; positions cannot be ranked by it"):
        lift_mask(layer, 2)


@given(sizes(), st.sampled_from(FLOATS), st.integers(0, 5))
def test_wanda_takes_the_largest_products_of_weight_and_input_norm(
    size: tuple[int, int, int], dtype: torch.dtype, unused: int
) -> None:
    m, n, r = size
    layer = linear(m, n).to(dtype)
    norms = torch.rand(n, generator=torch.Generator().manual_seed(r)) + 0.1
    norms[:unused] = 0  # inputs that no batch has used
    score = (layer.weight.detach().double() * norms.double()).abs()
    chosen = wanda_mask(layer, r, input_norm=norms).bool()
    assert int(chosen.sum()) == num_params(r, (m, n))
    left_out = score.masked_fill(chosen, 0).max()
    assert score[chosen].min() >= left_out * (1 - 1e-6)


def test_wanda_with_equal_inputs_is_magnitude() -> None:
    layer = linear(12, 18)
    assert torch.equal(wanda_mask(layer, 2, input_norm=torch.full((18,), 3.0)), magnitude_mask(layer, 2))


def test_wanda_measures_the_inputs_of_a_conv1d_whose_weight_is_stored_as_in_out() -> None:
    layer, norms = linear(12, 18), torch.rand(18)
    stored = Conv1D(12, 18)
    stored.weight.data = layer.weight.detach().t().contiguous()
    assert torch.equal(wanda_mask(stored, 2, input_norm=norms).t(), wanda_mask(layer, 2, input_norm=norms))


def test_wanda_on_batches_is_what_plain_hooks_find_in_float64() -> None:
    model = tiny_opt().double().eval()
    batches = [{"input_ids": tokens(), "labels": tokens()}, {"input_ids": tokens()[:1, :3], "labels": tokens()[:1, :3]}]
    seen: dict[str, list[Tensor]] = {}
    hooks = [
        module.register_forward_hook(lambda _, inputs, __, path=path: seen.setdefault(path, []).append(inputs[0]))
        for path, module in model.named_modules()
        if path.endswith((".fc1", ".q_proj"))
    ]
    with torch.no_grad():
        for batch in batches:
            model(**batch)
    for hook in hooks:
        hook.remove()
    norms = {path: torch.cat([x.flatten(0, -2) for x in inputs]).norm(dim=0) for path, inputs in seen.items()}
    found = calibrate(model, list(norms), batches, collect="input_norm")
    assert found.keys() == norms.keys()
    for path in norms:
        torch.testing.assert_close(found[path], norms[path])

    config = ShiraConfig(r=1, target_modules=["fc1", "q_proj"], mask_type="wanda")
    adapted = get_peft_model(model, config, calibration=batches)
    for path, layer in adapted.base_model.adapter_layers():
        score = layer.base_layer.weight.abs() * norms[path]
        positions = layer.adapters["default"].positions
        assert torch.equal(positions, score.flatten().topk(len(positions)).indices.sort().values)


@pytest.mark.parametrize(
    "norms, message",
    [
        (None, "A Wanda mask needs the norms of the layer's inputs: pass `calibration=` batches to"),
        (torch.ones(12), r"`input_norm` has shape \(12,\); expected one norm for each input, \(18,\)\."),
        (torch.full((18,), torch.inf), "`input_norm` holds NaN or infinite values; positions cannot be ranked by it"),
    ],
)
def test_wanda_says_which_norms_it_needs(norms: Tensor | None, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        wanda_mask(linear(12, 18), 2, input_norm=norms)


@given(sizes(), st.integers(0, 2**31))
def test_columns_are_whole_but_for_one_and_bound_the_rank(size: tuple[int, int, int], seed: int) -> None:
    m, n, r = size
    layer = linear(m, n)
    mask = columns_mask(layer, r, random_seed=seed)
    whole, rest = divmod(num_params(r, (m, n)), m)
    assert sorted(mask.sum(0).tolist(), reverse=True)[: whole + 1] == [m] * whole + [rest] * (whole < n)
    assert spectrum(mask.double() * torch.randn(m, n, dtype=torch.float64)).rank <= whole + (rest > 0)


def test_another_seed_takes_other_columns() -> None:
    layer = linear(30, 20)
    assert torch.equal(columns_mask(layer, 1, random_seed=1), columns_mask(layer, 1, random_seed=1))
    assert not torch.equal(columns_mask(layer, 1, random_seed=1), columns_mask(layer, 1, random_seed=2))


def block_means(gradient: Tensor, side: int) -> dict[tuple[int, int], float]:
    m, n = gradient.shape
    corners = [(top, left) for top in range(0, m, side) for left in range(0, n, side)]
    return {
        (top, left): float(gradient[top : top + side, left : left + side].abs().double().mean())
        for top, left in corners
    }


@given(sizes(), st.integers(1, 9))
def test_blocks_come_in_the_order_of_their_mean_gradient_and_the_last_is_cut(
    size: tuple[int, int, int], side: int
) -> None:
    m, n, r = size
    layer, gradient = linear(m, n), linear(m, n, seed=1).weight.detach()
    mask = gradient_block_mask(layer, r, gradient=gradient, block_size=side)
    left = num_params(r, (m, n))
    for (top, start), _ in sorted(block_means(gradient, side).items(), key=lambda item: -item[1]):
        block = mask[top : top + side, start : start + side]
        assert int(block.sum()) == min(left, block.numel())
        left -= int(block.sum())
    assert left == 0


def test_a_block_has_a_side() -> None:
    with pytest.raises(MaskError, match=r"`block_size` should be a positive integer; got 0\."):
        gradient_block_mask(linear(6, 6), 1, gradient=torch.ones(6, 6), block_size=0)


@pytest.mark.parametrize("mask_type", ["smallest", "lift", "wanda", "columns", "gradient_block"])
def test_a_config_knows_each_by_its_name(mask_type: str) -> None:
    assert mask_type in mask_types()
    model = nn.Sequential(linear(12, 18))
    config = ShiraConfig(r=2, target_modules=["0"], mask_type=mask_type, random_seed=0)
    statistic = torch.rand(18) if mask_type == "wanda" else torch.rand(12, 18)
    adapted = get_peft_model(model, config, calibration={"0": statistic})
    assert adapted.get_nb_trainable_parameters()[0] == 60
    with pytest.raises(MaskError, match="is built in; choose another name"):
        register_mask(mask_type)
