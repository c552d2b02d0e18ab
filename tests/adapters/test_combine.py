"""Combining adapters equals combining their dense updates, by PEFT's own functions, and leaves an ordinary adapter."""

from pathlib import Path

import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft.utils import merge_utils
from tiny import adapted, fill_randomly, layers, same_bits, snapshot, tiny_opt, tokens
from torch import Tensor, nn

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.adapters.weighted import SparseDelta, combine
from shira_lab.errors import AdapterError
from shira_lab.masks.positions import random_positions

SHAPE = (12, 9)
SEA = ShiraConfig(r=1, target_modules=["q_proj", "v_proj"], random_seed=0)
SPACE = ShiraConfig(r=2, target_modules=["v_proj", "fc1"], random_seed=1)


def deltas(*seeds: int, k: int = 40) -> list[SparseDelta]:
    """Updates in float64, so that PEFT's sums round as ours do; equal seeds share their positions."""
    return [
        SparseDelta(random_positions(SHAPE, k, seed), torch.randn(k, dtype=torch.float64)) for seed in seeds
    ]  # fmt: skip


def as_matrix(delta: SparseDelta) -> Tensor:
    flat = torch.zeros(SHAPE[0] * SHAPE[1], dtype=delta.values.dtype)
    return flat.index_put((delta.positions,), delta.values).view(SHAPE)


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(tokens()).logits


def dense_density(k: int, density: float) -> float:
    """The share of all mn entries that keeps as many as ``density`` of k values."""
    return (int(density * k) + 0.5) / (SHAPE[0] * SHAPE[1])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(0, 99))
def test_linear_is_the_sum_of_dense_updates_rounded_once(seeds: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    weights = torch.randn(len(seeds), dtype=torch.float64).tolist()
    parts = [SparseDelta(d.positions, d.values.float()) for d in deltas(*seeds)]
    expected = sum(w * as_matrix(d).double() for w, d in zip(weights, parts, strict=True))
    combined = combine(parts, weights)
    torch.testing.assert_close(as_matrix(combined), expected.float(), rtol=2e-7, atol=1e-14)
    if len(seeds) <= 2:  # the order of more terms may move the last bit of the float64 sum
        assert torch.equal(as_matrix(combined), expected.float())
    assert torch.equal(combined.positions, torch.cat([d.positions for d in parts]).unique())


@pytest.mark.parametrize("seeds", [(0, 1), (0, 0), (0, 1, 2)])
@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
@pytest.mark.filterwarnings("ignore:The density")
def test_magnitude_prune_is_pefts_on_dense_updates(seeds: tuple[int, ...], density: float) -> None:
    parts, weights = deltas(*seeds), [0.7, -1.5, 1.0][: len(seeds)]
    dense = [as_matrix(d) for d in parts]
    expected = merge_utils.magnitude_prune(dense, torch.tensor(weights).double(), dense_density(40, density))
    ours = combine(parts, weights, "magnitude_prune", density)
    torch.testing.assert_close(as_matrix(ours), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("seeds", [(0, 1), (0, 0), (0, 1, 0)])
@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("method", ["total", "frequency"])
@pytest.mark.filterwarnings("ignore:The density")
def test_ties_is_pefts_on_dense_updates(seeds: tuple[int, ...], density: float, method: str) -> None:
    parts, weights = deltas(*seeds), [0.7, 1.5, 1.0][: len(seeds)]
    dense = [as_matrix(d) for d in parts]
    expected = merge_utils.ties(dense, torch.tensor(weights).double(), dense_density(40, density), method)
    ours = combine(parts, weights, "ties", density, method)
    torch.testing.assert_close(as_matrix(ours), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("seeds", [(0, 1), (0, 0)])
@pytest.mark.parametrize("method", ["dare_linear", "dare_ties"])
def test_dare_is_pefts_on_dense_updates_with_the_same_draws(
    seeds: tuple[int, ...], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, weights, density = deltas(*seeds), [0.7, 1.5], 0.4
    torch.manual_seed(3)
    ours = combine(parts, weights, method, density)  # type: ignore[arg-type]
    torch.manual_seed(3)
    draws = [
        as_matrix(SparseDelta(d.positions, torch.bernoulli(torch.full_like(d.values, density)))) for d in parts
    ]  # fmt: skip
    monkeypatch.setattr(torch, "bernoulli", lambda _: draws.pop(0))
    expected = getattr(merge_utils, method)([as_matrix(d) for d in parts], torch.tensor(weights).double(), density)
    torch.testing.assert_close(as_matrix(ours), expected, rtol=1e-6, atol=0)
    assert not draws


def test_dare_gives_the_linear_sum_on_average() -> None:
    parts, weights = deltas(0, 1), [1.0, 0.5]
    draws = torch.stack([as_matrix(combine(parts, weights, "dare_linear", 0.5)) for _ in range(2000)])
    expected = as_matrix(combine(parts, weights))
    error = (draws.mean(0) - expected).abs() / (draws.std(0) / 2000**0.5).clamp_min(1e-12)
    assert float(error.max()) < 5  # standard errors, of 108 entries


def two_adapters() -> PeftModel:
    model = get_peft_model(tiny_opt(), SEA, "sea")
    model.add_adapter("space", SPACE)
    return fill_randomly(model)


def test_the_linear_combination_is_both_adapters_active_at_their_scales() -> None:
    model = two_adapters()
    model.set_scale("space", 0.5)
    model.add_weighted_adapter(["sea", "space"], [1.0, 0.7], "both", "linear")
    model.set_adapter("both")
    combined = logits(model)
    model.set_scale("space", 0.35)
    model.set_adapter(["sea", "space"])
    torch.testing.assert_close(combined, logits(model), rtol=1e-5, atol=1e-6)


def test_a_combined_adapter_has_the_smallest_r_with_room_and_zeros_in_the_rest() -> None:
    model = two_adapters()
    model.add_weighted_adapter(["sea", "space"], [1.0, 0.7], "both", "linear")
    sizes = {}
    for path, layer in model.base_model.adapter_layers():
        parts = [layer.adapters[name] for name in ("sea", "space") if name in layer.adapters]
        union = torch.cat([part.positions for part in parts]).unique()
        both = layer.adapters["both"]
        sizes[path] = -(-union.numel() // sum(both.shape))
        rest = ~torch.isin(both.positions, union)
        assert int((~rest).sum()) == union.numel() and not bool(both.shira_weight[rest].any())
        free = torch.arange(both.shape[0] * both.shape[1])
        free = free[~torch.isin(free, union)]
        assert torch.equal(both.positions[rest], free[: int(rest.sum())])
        assert both.positions.numel() == both.r * sum(both.shape)
    assert model.peft_config["both"].r == max(sizes.values()) == 3


@pytest.mark.parametrize("combination_type", ["linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"])
def test_a_combined_adapter_is_an_ordinary_one_here_and_in_peft(combination_type: str, tmp_path: Path) -> None:
    model = two_adapters()
    density = None if combination_type == "linear" else 0.5
    model.add_weighted_adapter(["sea", "space"], [1.0, 0.7], "both", combination_type, density)
    model.set_adapter("both")
    expected = logits(model)
    assert not torch.allclose(expected, logits(tiny_opt()), atol=1e-3)
    model.save_pretrained(tmp_path, selected_adapters=["both"])
    assert torch.equal(logits(PeftModel.from_pretrained(tiny_opt(), tmp_path / "both")), expected)
    theirs = peft.PeftModel.from_pretrained(tiny_opt(), tmp_path / "both")
    torch.testing.assert_close(logits(theirs), expected, rtol=1e-5, atol=1e-6)
    model.set_adapter("both")
    assert all(layer.shira_weight["both"].requires_grad for layer in layers(model))


def lora_beside() -> PeftModel:
    model = two_adapters()
    model.add_adapter("lora", LoraConfig(r=2, target_modules=["q_proj"]))
    return model


REFUSALS = {
    r"'lora' is a LoRA adapter, whose update has an entry everywhere .* set_adapter\(\['sea', 'lora'\]\)": (
        ["sea", "lora"],
        [1, 1],
        {},
    ),
    "Each adapter needs one weight: got 2 adapters and 1 weights": (["sea", "space"], [1], {}),
    "Each adapter needs one weight: got 0 adapters and 0 weights": ([], [], {}),
    "`combination_type` should be one of linear, ties, .*; got 'svd'": (["sea"], [1], {"combination_type": "svd"}),
    r"`density` should be in \(0, 1\] for 'ties', .*; got None": (["sea"], [1], {"combination_type": "ties"}),
    r"`density` should be in \(0, 1\] for 'dare_ties', .*; got 0": (
        ["sea"],
        [1],
        {"combination_type": "dare_ties", "density": 0},
    ),
    "`majority_sign_method` should be 'total' or 'frequency'; got 'mean'": (
        ["sea"],
        [1],
        {"combination_type": "ties", "density": 0.5, "majority_sign_method": "mean"},
    ),
    "Adapter mars does not exist": (["mars"], [1], {}),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_what_cannot_be_combined_is_refused_and_nothing_changes(message: str) -> None:
    model = lora_beside()
    before = snapshot(model)
    adapters, weights, options = REFUSALS[message]
    with pytest.raises(AdapterError, match=message):
        model.add_weighted_adapter(adapters, weights, "both", **options)
    assert same_bits(snapshot(model), before) and "both" not in model.peft_config


def test_no_room_for_the_union_names_the_layer() -> None:
    model = get_peft_model(nn.Sequential(nn.Linear(5, 5)), ShiraConfig(2, ["0"], random_seed=0), "a")
    model.add_adapter("b", ShiraConfig(2, ["0"], random_seed=1))
    with pytest.raises(
        AdapterError, match=r"needs r=3, but layer '0' of shape \(5, 5\) has room for r=2, 20 positions"
    ):
        model.add_weighted_adapter(["a", "b"], [1, 1], "both")


def test_whole_modules_are_not_combined() -> None:
    config = ShiraConfig(1, ["q_proj"], random_seed=0, modules_to_save=["lm_head"])
    model = adapted(tiny_opt(tie_word_embeddings=False), config)
    with pytest.raises(AdapterError, match=r"'default' has modules of its own \(lm_head\), and whole modules are not"):
        model.add_weighted_adapter(["default"], [1], "both")
