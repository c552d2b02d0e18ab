"""One layer with adapters, by itself: what acts and trains, what is written into the weight, and what is not."""

import pytest
import torch
from torch import Tensor, nn

from shira_lab import ShiraConfig, get_peft_model
from shira_lab.errors import AdapterError
from shira_lab.layers import AdapterLayer, LoraAdapter, ShiraAdapter
from shira_lab.layers.deltas import Overlay
from shira_lab.layers.shira import Delta, plus

SHAPE = (6, 4)
X = torch.linspace(-1, 1, 12).view(3, 4)


class Scaled(nn.Linear):
    """A linear layer whose forward takes more than its input."""

    def forward(self, x: Tensor, factor: float = 1.0) -> Tensor:
        return super().forward(x) * factor


def shira(first: int = 0, value: float = 1.0) -> ShiraAdapter:
    """Ten equal values, at ten positions in a row."""
    return ShiraAdapter(1, SHAPE, torch.arange(first, first + 10), torch.full((10,), value), fan_in_fan_out=False)


def made(base: nn.Module | None = None, in_place: bool = True) -> AdapterLayer:
    """A layer with the adapters a and b, of which a is active."""
    layer = AdapterLayer(Scaled(4, 6) if base is None else base, in_place)
    layer.base_layer.weight.requires_grad_(False)
    layer.add_adapter("a", shira())
    layer.add_adapter("b", shira(first=5, value=2.0))
    layer.set_adapter("a")
    return layer


def trains(layer: AdapterLayer) -> list[str]:
    return [name for name, adapter in layer.named_adapters() if any(p.requires_grad for p in adapter.parameters())]


def test_an_added_adapter_neither_acts_nor_trains_until_it_is_set() -> None:
    layer = AdapterLayer(nn.Linear(4, 6))
    before = layer(X)
    layer.add_adapter("a", shira())
    layer.add_adapter("lora", LoraAdapter(1, SHAPE, 1.0, init=False))
    assert torch.equal(layer(X), before) and trains(layer) == [] and layer.active_adapters == []
    layer.set_adapter("a")
    assert not torch.equal(layer(X), before) and trains(layer) == ["a"] and layer.active_adapters == ["a"]
    layer.set_adapter(["lora", "elsewhere"])
    assert trains(layer) == layer.active_adapters == ["lora"]
    layer.set_adapter(["lora", "a"], inference_mode=True)
    assert trains(layer) == [] and layer.active_adapters == ["lora", "a"]


def test_an_added_adapter_has_the_mode_of_its_layer_and_shares_equal_positions() -> None:
    layer = made().eval()
    layer.add_adapter("c", shira(value=3.0))
    assert layer.adapters["c"].positions is layer.adapters["a"].positions
    assert not layer.adapters["c"].training
    assert layer.adapters["b"].positions is not layer.adapters["a"].positions


def test_a_scale_reaches_the_weight_also_where_the_adapter_is_merged() -> None:
    layer = made()
    base = layer.base_weight().clone()
    layer.merge()
    layer.set_scale("a", 3)
    torch.testing.assert_close(layer.weight, base + layer.get_delta_weight("a").detach())
    layer.set_scale("elsewhere", 5)
    assert layer.scaling == {"a": 3.0, "b": 1.0}
    torch.testing.assert_close(layer.weight, base + layer.get_delta_weight("a").detach())
    assert layer.get_delta_weight("a").sum() == 30
    layer.set_scale("b", 2)  # which is not merged
    torch.testing.assert_close(layer.weight, base + layer.get_delta_weight("a").detach())


@pytest.mark.parametrize("path", ["plain", "apart"])
def test_further_arguments_reach_the_base_layer(path: str) -> None:
    layer = made(in_place=path != "apart")
    layer(X)
    torch.testing.assert_close(layer(X, 2.0), 2 * layer(X))
    torch.testing.assert_close(layer(X, factor=2.0), 2 * layer(X))


@pytest.mark.parametrize("how", ["shared", "not laid out row by row"])
def test_a_weight_that_must_not_be_written_is_not_and_the_output_is_the_same(how: str) -> None:
    torch.manual_seed(0)
    base = Scaled(4, 6)
    if how == "not laid out row by row":
        base.weight = nn.Parameter(torch.randn(4, 6).t())
    before = base.weight.detach().clone()
    layer = made(base, in_place=how != "shared")
    found = layer(X)
    assert torch.equal(base.weight, before)
    torch.testing.assert_close(found, X @ (before + layer.get_delta_weight("a")).t() + base.bias)
    with pytest.raises(AdapterError) as caught:
        layer.merge()
    assert str(caught.value) == (
        "This layer's weight is shared with another module, so an adapter cannot be merged into it without changing "
        "both. Leave the adapter active instead, or use `merge_and_unload`, which gives the layer a weight of its own."
    )
    layer.check_mergeable(for_good=True)
    layer.set_adapter([])
    layer.check_mergeable()


def test_unloading_leaves_the_base_layer_with_or_without_its_adapters() -> None:
    layer = made()
    before = layer.base_weight().clone()
    layer(X)
    assert layer.unload() is layer.base_layer and torch.equal(layer.base_layer.weight, before)
    layer(X)
    merged = layer.unload(merge=True).weight
    torch.testing.assert_close(merged, before + layer.get_delta_weight("a").detach())
    assert torch.equal(layer.base_weight(), merged)  # for good
    unused = made()
    before_use = unused.weight.clone()
    unused.unload(merge=True)
    torch.testing.assert_close(unused.weight, before_use + unused.get_delta_weight("a").detach())

    shared = nn.Parameter(before.clone(), requires_grad=False)
    base = Scaled(4, 6)
    base.weight = shared
    assert made(base, in_place=False).unload().weight is shared
    unloaded = made(base, in_place=False).unload(merge=True)
    assert torch.equal(unloaded.weight, merged) and torch.equal(shared, before)
    assert not unloaded.weight.requires_grad and unloaded.weight.is_leaf


@pytest.mark.parametrize("merged", [False, True])
def test_a_deleted_adapter_is_forgotten_with_what_it_wrote(merged: bool) -> None:
    layer = made()
    before = layer.base_weight().clone()
    layer(X)
    if merged:
        layer.merge()
    layer.delete_adapter("elsewhere")
    layer.delete_adapter("a")
    assert list(layer.adapters) == ["b"] and layer.active_adapters == layer.merged_adapters == []
    assert torch.equal(layer.weight, before)


def test_what_is_merged_is_what_was_named_or_else_what_is_active() -> None:
    layer = made()
    layer.merge(["b"])
    assert layer.merged_adapters == ["b"]
    layer.merge()
    assert layer.merged_adapters == ["b", "a"]
    layer.merge(["a", "elsewhere"])
    assert layer.merged_adapters == ["b", "a"]


def test_state_is_loaded_below_a_merged_adapter_which_is_no_longer_merged() -> None:
    layer, other = made(), made(Scaled(4, 6))
    layer.merge()
    layer.load_state_dict(other.state_dict())
    assert not layer.merged and torch.equal(layer.weight, other.base_weight())


def test_a_clean_base_layer_has_the_base_weight_and_what_is_written_stays() -> None:
    layer = made()
    before = layer.base_weight().clone()
    assert layer.clean_base_layer() is layer.base_layer
    layer(X)
    assert layer.clean_base_layer() is layer.base_layer
    layer.merge()
    written = layer.weight.clone()
    clean = layer.clean_base_layer()
    assert torch.equal(clean.weight, before) and not clean.weight.requires_grad and clean.bias is layer.bias
    assert torch.equal(layer.weight, written) and not torch.equal(written, before)


def test_positions_move_only_to_as_many_others() -> None:
    layer = made()
    layer.set_positions("a", torch.arange(4, 14))
    assert layer.adapters["a"].positions.tolist() == list(range(4, 14))
    assert layer.shira_weight["a"].tolist() == [1.0] * 6 + [0.0] * 4
    with pytest.raises(AdapterError, match=r"The new mask has 3 positions; adapter 'a' has 10 values\. Keep r, or add"):
        layer.set_positions("a", torch.arange(3))
    layer.add_adapter("lora", LoraAdapter(1, SHAPE, 1.0))
    with pytest.raises(AdapterError, match="Adapter 'lora' is a LoRA adapter; only SHiRA adapters have a mask"):
        layer.set_positions("lora", torch.arange(10))


def test_lora_factors_fit_the_weight_as_it_is_stored() -> None:
    plain = LoraAdapter(1, SHAPE, 1.0)
    assert plain.delta_weight().shape == SHAPE and plain.lora_A.weight.shape == (1, 4)
    assert torch.equal(plain.lora_dropout(X), X)
    half = LoraAdapter(1, SHAPE, 1.0, device=torch.device("meta"), dtype=torch.float16)
    assert (half.lora_A.weight.device.type, half.lora_B.weight.dtype) == ("meta", torch.float16)
    turned = LoraAdapter(1, SHAPE, 1.0, fan_in_fan_out=True)
    assert turned.delta_weight().shape == SHAPE and turned.lora_A.weight.shape == (1, 6)


def test_lora_factors_start_as_asked() -> None:
    torch.manual_seed(0)
    gaussian = LoraAdapter(64, (256, 256), 1.0, init="gaussian")
    assert gaussian.lora_A.weight.std().item() == pytest.approx(1 / 64, rel=0.05)
    uniform = LoraAdapter(64, (256, 256), 1.0)
    assert uniform.lora_A.weight.abs().max().item() == pytest.approx(1 / 16, rel=0.01)  # Kaiming: 1 / sqrt(n)
    assert not gaussian.lora_B.weight.any() and not uniform.lora_B.weight.any()
    assert LoraAdapter(64, (256, 256), 1.0, init=False).lora_B.weight.any()


# ---- what is written into a weight ----------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", [torch.tensor([1, 5, 7]), None], ids=["sparse", "whole"])
def test_an_overlay_writes_a_weight_that_trains_and_puts_its_bits_back(positions: Tensor | None) -> None:
    weight = nn.Parameter(torch.randn(SHAPE))
    before = weight.detach().clone()
    values = torch.randn(SHAPE) if positions is None else torch.randn(3)
    overlay = Overlay()
    overlay.write(weight, [Delta(values, positions, 0.1)])
    written = weight.detach().clone()
    assert not torch.equal(written, before) and torch.equal(overlay.base(weight), before)
    assert torch.equal(plus(before, [Delta(values, positions, 0.1)]), written)
    assert torch.equal(weight, written) and weight.requires_grad
    overlay.restore(weight)
    assert torch.equal(weight, before) and overlay.base(weight).data_ptr() == weight.data_ptr()


def test_an_overlay_writes_the_same_where_pytorch_is_to_be_deterministic() -> None:
    weight, delta = torch.randn(SHAPE), Delta(torch.randn(3), torch.tensor([1, 5, 7]), 0.1)
    expected = plus(weight, [delta])
    torch.use_deterministic_algorithms(True)
    try:
        found = weight.clone()
        Overlay().write(found, [delta])
        with pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"):
            weight.put_(delta.positions, delta.values)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("scaling", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_deltas_are_added_in_the_wider_type(scaling: float, dtype: torch.dtype) -> None:
    weight = torch.randn(SHAPE)
    deltas = [Delta(torch.randn(3).to(dtype), torch.tensor(at), scaling) for at in ([0, 5, 7], [5, 7, 20])]
    expected = weight.double().flatten()
    for delta in deltas:
        expected = expected.index_add(0, delta.positions, delta.values.double() * scaling)
        one = plus(weight, [delta]).double().flatten() - weight.double().flatten()
        torch.testing.assert_close(one[delta.positions], delta.values.double() * scaling, rtol=1e-3, atol=1e-6)
    found = plus(weight, deltas)
    written = weight.clone()
    Overlay().write(written, deltas)
    assert torch.equal(written, found)
    assert found.dtype == weight.dtype
    torch.testing.assert_close(found.double().flatten(), expected, rtol=1e-6, atol=1e-6)
    untouched = torch.ones(24, dtype=torch.bool).index_fill(0, torch.tensor([0, 5, 7, 20]), False)
    assert torch.equal(found.flatten()[untouched], weight.flatten()[untouched])


def test_deltas_on_the_whole_weight_and_on_some_entries_add_up() -> None:
    weight, first, second = (torch.randn(SHAPE) for _ in range(3))
    whole = [Delta(first, None, 1.0), Delta(second, None, 2.0)]
    torch.testing.assert_close(plus(weight, whole), weight + first + 2 * second)
    some = Delta(torch.ones(2), torch.tensor([3, 8]), 0.5)
    expected = (weight + first).flatten().index_add(0, torch.tensor([3, 8]), torch.full((2,), 0.5)).view(SHAPE)
    torch.testing.assert_close(plus(weight, [whole[0], some]), expected)


def test_originals_that_are_no_longer_known_are_not_put_back() -> None:
    layer = made()
    layer.merge()
    layer.weight.add_(1)
    with pytest.raises(AdapterError, match="The base weight was changed in place while an adapter was written into it"):
        layer.unmerge()
    assert layer.active_adapters == ["a"]


def test_second_derivatives_are_those_of_a_dense_weight() -> None:
    layer = made(nn.Linear(4, 6))
    values, adapter = layer.shira_weight["a"], layer.adapters["a"]
    (first,) = torch.autograd.grad(layer(X).pow(3).sum(), values, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), values)

    def dense(values: Tensor) -> Tensor:
        weight = layer.weight.flatten().index_add(0, adapter.positions, values).view(SHAPE)
        return (X @ weight.t() + layer.bias).pow(3).sum()

    (expected,) = torch.autograd.grad(dense(values), values, create_graph=True)
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(second, torch.autograd.grad(expected.square().sum(), values)[0])


def test_a_second_derivative_through_values_that_changed_since_is_an_error_and_not_wrong() -> None:
    layer = made(nn.Linear(4, 6))
    layer.base_layer.requires_grad_(False)
    x = X.clone().requires_grad_()
    loss = layer(x).pow(3).sum()
    with torch.no_grad():
        layer.shira_weight["a"].add_(1)
    with pytest.raises(AdapterError, match="changed in place between a forward pass and a second derivative"):
        torch.autograd.grad(loss, x, create_graph=True)


def test_equal_values_at_other_positions_are_another_weight() -> None:
    model = get_peft_model(nn.Sequential(nn.Linear(12, 8)), ShiraConfig(r=1, target_modules=["0"], random_seed=0), "a")
    model.add_adapter("b", ShiraConfig(r=1, target_modules=["0"], random_seed=1))
    (layer,) = (layer for _, layer in model.base_model.adapter_layers())
    for name in "ab":
        layer.shira_weight[name].data.fill_(1)
    base = layer.base_weight().clone()
    for name in "aba":
        model.set_adapter(name)
        layer.merge()
        torch.testing.assert_close(layer.weight, base + layer.get_delta_weight(name))
