"""Whatever adapters do to a layer, the base weight comes back bit for bit."""

import copy
from collections.abc import Callable

import pytest
import torch
from tiny import FLOATS, MLP, adapted, base_weights, fill_randomly, layers, same_bits, snapshot
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_base_model_state_dict, get_peft_model
from shira_lab.errors import AdapterError
from shira_lab.layers import AdapterLayer
from shira_lab.masks.positions import is_linear

SHIRA = ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0)
SECOND = ShiraConfig(r=3, target_modules=["lin1", "lin2"], random_seed=1)
LORA = LoraConfig(r=2, target_modules=["lin0", "lin1"])


def run(model: nn.Module, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        return model(torch.randn(4, 10, generator=generator).to(dtype))


@pytest.mark.parametrize("config", [SHIRA, LORA], ids=["shira", "lora"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_new_adapter_is_an_exact_identity(config: ShiraConfig, dtype: torch.dtype) -> None:
    model = MLP().to(dtype)
    before = run(model, dtype)
    assert torch.equal(run(get_peft_model(model, config), dtype), before)


@pytest.mark.parametrize("config", [SHIRA, LORA], ids=["shira", "lora"])
def test_without_zeroed_values_it_is_not(config: ShiraConfig) -> None:
    model = MLP()
    before = run(model)
    changes = {"init_weights": False} if isinstance(config, ShiraConfig) else {"init_lora_weights": False}
    assert not torch.equal(run(get_peft_model(model, config.copy(**changes))), before)


def switch_off(model: PeftModel) -> None:
    model.set_adapter([])
    run(model, next(base_weights(model)).dtype)


def delete_all(model: PeftModel) -> None:
    for name in list(model.peft_config):
        model.delete_adapter(name)


RESTORE: dict[str, Callable[[PeftModel], object]] = {
    "switch off": switch_off,
    "unmerge": lambda model: model.unmerge_adapter(),
    "delete": delete_all,
    "unload": lambda model: model.unload(),
}
USE: dict[str, Callable[[PeftModel], object]] = {
    "forward": lambda model: None,
    "set_scale": lambda model: [layer.set_scale("default", 0.3) for layer in layers(model)],
    "two adapters": lambda model: model.set_adapter(["default", "second"]),
    "switched": lambda model: model.set_adapter("second"),
    "merged": lambda model: model.merge_adapter(),
    "merged twice": lambda model: (model.merge_adapter(["default"]), model.merge_adapter(["second"])),
    "merged LoRA": lambda model: model.merge_adapter(["default", "lora"]),
    "deepcopied": lambda model: copy.deepcopy(model),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("use", USE)
@pytest.mark.parametrize("restore", RESTORE)
def test_base_weights_come_back_bit_for_bit(restore: str, use: str, dtype: torch.dtype) -> None:
    base = MLP().to(dtype)
    before, output = snapshot(base), run(base, dtype)
    model = get_peft_model(base, SHIRA)
    model.add_adapter("second", SECOND)
    model.add_adapter("lora", LORA)
    fill_randomly(model)
    run(model, dtype)
    USE[use](model)
    assert not torch.equal(run(model, dtype), output)
    shown = {name.replace("base_layer.", ""): value for name, value in model.base_model.model.state_dict().items()}
    if "merged" in use:  # what is merged is what is saved
        written = {name.replace("base_layer.", ""): value for name, value in base.named_parameters()}
        assert same_bits({name: written[name] for name in before}, {name: shown[name] for name in before})
        assert not same_bits(before, {name: shown[name] for name in before})
        assert same_bits(before, get_base_model_state_dict(model))
    else:
        assert same_bits(before, {name: shown[name] for name in before}), "state_dict should show the base weight"
    with model.disable_adapter():
        assert torch.equal(run(model, dtype), output)
    RESTORE[restore](model)
    after = {name.replace("base_layer.", ""): value for name, value in base.state_dict(keep_vars=True).items()}
    assert same_bits(before, {name: after[name] for name in before})
    for path in ("lin0", "lin1", "lin2"):
        layer = base.get_submodule(path)
        assert torch.equal(getattr(layer, "base_layer", layer).weight, before[f"{path}.weight"])


def test_disabled_weights_are_the_base_weights_in_memory() -> None:
    model = adapted(MLP(), SHIRA)
    base = [layer.base_weight().clone() for layer in layers(model)]
    run(model)
    with model.disable_adapter():
        assert all(torch.equal(a, b) for a, b in zip(base_weights(model), base, strict=True))
        with model.disable_adapter():
            pass
        assert all(layer.disable_adapters for layer in layers(model))
    run(model)
    assert all(torch.equal(a, b) for a, b in zip(base_weights(model), base, strict=True))
    model.merge_adapter()
    assert not any(torch.equal(a, b) for a, b in zip(base_weights(model), base, strict=True))
    with model.disable_adapter():
        assert all(torch.equal(a, b) for a, b in zip(base_weights(model), base, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(base_weights(model), base, strict=True))


@pytest.mark.parametrize("config", [SHIRA, LORA], ids=["shira", "lora"])
def test_merging_changes_the_weight_by_the_delta_and_the_output_not_at_all(config: ShiraConfig) -> None:
    model = adapted(MLP().double(), config)
    before = run(model, torch.float64)
    base = [layer.base_weight().clone() for layer in layers(model)]
    model.merge_adapter()
    for _ in range(2):
        torch.testing.assert_close(run(model, torch.float64), before)
        for layer, weight in zip(layers(model), base, strict=True):
            torch.testing.assert_close(layer.weight.detach(), weight + layer.get_delta_weight("default").detach())
        with pytest.warns(UserWarning, match="All adapters are already merged, nothing to do"):
            model.merge_adapter()
    model.unmerge_adapter()
    assert torch.equal(run(model, torch.float64), before)


def test_merging_with_outputs_still_alive_works() -> None:
    model = adapted(MLP(), SHIRA)
    output = model(torch.randn(3, 10))
    model.merge_adapter()
    assert all(layer.merged for layer in layers(model)) and output.requires_grad


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_adapter_is_not_merged_anywhere(bad: float) -> None:
    model = adapted(MLP(), SHIRA)
    before = [layer.base_weight().clone() for layer in layers(model)]
    layers(model)[-1].shira_weight["default"].data[3] = bad
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(
            AdapterError, match=r"NaNs detected in the merged weights.*adapter default seems to be broken"
        ):
            merge()
        assert all(torch.equal(layer.base_weight(), w) for layer, w in zip(layers(model), before, strict=True))
        assert not any(layer.merged for layer in layers(model))


def test_a_deleted_adapter_leaves_a_merged_weight_and_the_others_stay() -> None:
    model = get_peft_model(MLP(), SHIRA)
    model.add_adapter("second", SHIRA.copy(random_seed=4))
    layer = layers(fill_randomly(model))[0]
    layer.merge(["default", "second"])
    layer.delete_adapter("second")
    expected = layer.base_weight() + layer.get_delta_weight("default").detach()
    assert layer.merged_adapters == ["default"]
    assert torch.equal(layer.weight.detach(), expected)


@pytest.mark.parametrize("trained_since", [False, True])
def test_changing_the_base_weight_while_written_raises(trained_since: bool) -> None:
    model = adapted(MLP(), SHIRA)
    model.merge_adapter()
    (layer, *_) = layers(model)
    with torch.no_grad():
        layer.weight.add_(1)
        layer.shira_weight["default"].add_(float(trained_since))
    with pytest.raises(AdapterError, match="The base weight was changed in place while an adapter was written into it"):
        run(model)


def test_changing_it_inside_disable_adapter_is_fine() -> None:
    model = adapted(MLP(), SHIRA)
    run(model)
    (layer, *_) = layers(model)
    with model.disable_adapter(), torch.no_grad():
        layer.weight.add_(1)
        changed = layer.weight.detach().clone()
    run(model)
    assert torch.equal(layer.base_weight(), changed)


@pytest.mark.parametrize("merged", [False, True])
def test_casting_sees_the_base_weight(merged: bool) -> None:
    model, plain = adapted(MLP(), SHIRA), MLP()
    plain.load_state_dict(
        {k.replace("base_layer.", ""): v for k, v in snapshot(model.base_model.model).items() if "default" not in k}
    )
    run(model)
    if merged:
        model.merge_adapter()
    model.to(torch.bfloat16)
    plain.to(torch.bfloat16)
    assert [layer.merged for layer in layers(model)] == [merged, merged]
    run(model, torch.bfloat16)
    with model.disable_adapter():
        assert torch.equal(run(model, torch.bfloat16), run(plain, torch.bfloat16))


def test_half_precision_keeps_exact_values_and_output_dtype() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        model = adapted(MLP().to(dtype), SHIRA)
        assert all(layer.shira_weight["default"].dtype == torch.float32 for layer in layers(model))
        assert run(model, dtype).dtype == dtype
        assert run(adapted(MLP().to(dtype), LORA), dtype).dtype == dtype


def test_what_a_layer_shows_has_pefts_names_and_shapes() -> None:
    model = adapted(MLP(), SHIRA)
    layer = layers(model)[0]
    indices, values = layer.shira_indices["default"], layer.shira_weight["default"]
    assert (layer.in_features, layer.out_features, layer.r, layer.scaling) == (10, 20, {"default": 2}, {"default": 1.0})
    assert (indices.shape, indices.dtype, values.shape) == ((2, 60), torch.int32, (60,))
    delta = layer.get_delta_weight("default")
    assert torch.equal(delta[tuple(indices.long())], values) and int(delta.count_nonzero()) == 60
    layer.shira_weight["default"] = torch.ones(60)
    assert layer.shira_weight["default"].requires_grad and layer.get_delta_weight("default").sum().item() == 60
    with pytest.raises(TypeError, match="does not support item assignment"):
        layer.scaling["default"] = 2.0
    with pytest.raises(AdapterError, match=r"`shira_weight\['default'\]` has 60 values; got a tensor of shape \(3,\)"):
        layer.shira_weight["default"] = torch.ones(3)
    with pytest.raises(AdapterError, match=r"This layer has no adapter 'other'; it has \['default'\]"):
        layer.get_delta_weight("other")


def test_the_values_of_a_layer_are_a_mapping_from_which_none_is_deleted() -> None:
    model = adapted(MLP(), SHIRA)
    model.add_adapter("lora", LORA)
    layer = layers(model)[0]
    assert list(layer.shira_weight) == ["default"] and len(layer.shira_weight) == 1
    with pytest.raises(AdapterError, match=r"Use `delete_adapter\('default'\)` to remove an adapter\."):
        del layer.shira_weight["default"]
    layer.shira_weight["default"].requires_grad_(False)
    given = torch.ones(60, requires_grad=True)
    layer.shira_weight["default"] = given * 2
    values = layer.shira_weight["default"]
    assert values.is_leaf and not values.requires_grad and values.sum() == 120


def test_what_a_layer_shows_of_lora_and_of_its_base_has_pefts_names() -> None:
    model = adapted(MLP(), LORA)
    layer, other = layers(model)
    assert layer.get_base_layer() is layer.base_layer and layer.bias is layer.base_layer.bias and other.bias is None
    assert (layer.lora_A["default"].weight.shape, layer.lora_B["default"].weight.shape) == ((2, 10), (20, 2))
    assert layer.shira_indices == {} and torch.equal(layer.delta_weight("default"), layer.get_delta_weight("default"))
    layer = AdapterLayer(Conv1D(6, 4))
    assert (layer.in_features, layer.out_features, layer.fan_in_fan_out) == (4, 6, True)


def test_a_conv1d_is_a_linear_layer_only_where_it_is_transformers() -> None:
    impostor = type("Conv1D", (nn.Module,), {})()
    neighbour = type("Attention", (nn.Module,), {"__module__": "transformers.pytorch_utils"})()
    assert [is_linear(module) for module in (Conv1D(6, 4), nn.Linear(4, 6), impostor, neighbour)] == [
        True, True, False, False
    ]  # fmt: skip


def test_dropout_of_a_new_adapter_follows_the_mode_of_its_layer() -> None:
    model = adapted(MLP().eval(), LORA.copy(lora_dropout=0.5))
    assert not model.training and torch.equal(run(model), run(model))
    assert not torch.equal(run(model.train()), run(model))
