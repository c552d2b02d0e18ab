"""What cannot be done is refused by name, and the model is left as it was."""

import pytest
import torch
from tiny import MLP, adapted, layers, same_bits, snapshot, tiny_opt, tokens
from torch import nn
from transformers.pytorch_utils import Conv1D

from shira_lab import LoraConfig, ShiraConfig, ShiraError, get_peft_model
from shira_lab.errors import AdapterError, ConfigError, MaskError

CONFIG = ShiraConfig(r=1, target_modules=["q_proj", "v_proj"], random_seed=0)


FAILURES: dict[str, ShiraConfig | LoraConfig] = {
    "Target modules \\['nothing'\\] not found": ShiraConfig(r=1, target_modules=["nothing"]),
    "r=9 is too large for layer 'model.decoder.layers.0.self_attn.v_proj'": CONFIG.copy(r=9),
    "ranks positions by a gradient": CONFIG.copy(mask_type="snip"),
    "no module is named 'head'": CONFIG.copy(modules_to_save=["head"]),
    "which is not supported; only nn.Linear and Conv1D": LoraConfig(target_modules=["embed_tokens"]),
}


@pytest.mark.parametrize("message", FAILURES)
@pytest.mark.parametrize("first", [True, False])
def test_a_failed_call_leaves_the_model_as_before(message: str, first: bool) -> None:
    base = tiny_opt()
    model = None if first else adapted(base, CONFIG)
    modules, before = list(base.modules()), snapshot(base)
    flags = [p.requires_grad for p in base.parameters()]
    with pytest.raises(ShiraError, match=message):
        get_peft_model(base, FAILURES[message]) if model is None else model.add_adapter("second", FAILURES[message])
    assert all(a is b for a, b in zip(modules, base.modules(), strict=True))
    assert same_bits(before, snapshot(base)) and flags == [p.requires_grad for p in base.parameters()]


def test_a_model_with_adapters_is_not_wrapped_again() -> None:
    base = tiny_opt()
    model = get_peft_model(base, CONFIG)
    for again in (base, model, model.base_model):
        with pytest.raises(AdapterError, match="has adapters already; use `add_adapter` on it, or `unload` them first"):
            get_peft_model(again, CONFIG)
    get_peft_model(model.unload(), CONFIG)


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "keys", "items", "training", "_modules", "forward", 3, None])
def test_names_that_cannot_be_are_refused(name: object) -> None:
    with pytest.raises(
        AdapterError, match="cannot be an adapter name: use a non-empty string without dots and slashes"
    ):
        get_peft_model(MLP(), ShiraConfig(r=1, target_modules=["lin1"]), name)


def test_duplicate_and_unknown_names_are_refused() -> None:
    model = get_peft_model(tiny_opt(), CONFIG)
    with pytest.raises(
        AdapterError, match="Adapter with name default already exists; delete it first or choose another"
    ):
        model.add_adapter("default", CONFIG)
    for call in (model.set_adapter, model.delete_adapter, lambda name: model.merge_adapter([name])):
        with pytest.raises(AdapterError, match=r"Adapter unknown does not exist: this model has \['default'\]"):
            call("unknown")
    with pytest.raises(AdapterError, match="Adapter unknown does not exist"):
        model.set_mask("unknown", CONFIG)


def test_deleting_the_active_adapter_activates_the_first_that_is_left() -> None:
    model = adapted(tiny_opt(), CONFIG)
    plain = tiny_opt()(tokens()).logits
    model.add_adapter("default2", CONFIG.copy(random_seed=1))
    model.delete_adapter("default")
    assert model.active_adapters == ["default2"] and list(model.peft_config) == ["default2"]
    assert torch.equal(model(tokens()).logits, plain)
    model.delete_adapter("default2")
    assert model.active_adapters == [] and torch.equal(model(tokens()).logits, plain)


def test_numbers_are_needed_and_floating_ones() -> None:
    with torch.device("meta"):
        model = MLP()
    with pytest.raises(ConfigError, match=r"Layer 'lin1' is on the meta device: it has no numbers to adapt"):
        get_peft_model(model, ShiraConfig(r=1, target_modules=["lin1"]))
    model = MLP()
    model.lin1.weight = nn.Parameter(torch.zeros(20, 20, dtype=torch.int8), requires_grad=False)
    with pytest.raises(
        ConfigError, match=r"Layer 'lin1' has dtype torch.int8; only floating-point weights can be adapted"
    ):
        get_peft_model(model, ShiraConfig(r=1, target_modules=["lin1"]))


def test_a_mask_that_breaks_its_promise_names_the_layer() -> None:
    config = ShiraConfig(r=1, target_modules=["lin1"], mask_fn=lambda base_layer, r: torch.ones(20, 20))
    with pytest.raises(MaskError, match=r"The mask for layer 'lin1' has 400 ones; r\(m \+ n\) = 40 are expected"):
        get_peft_model(MLP(), config)


def test_conv1d_layers_are_adapted_as_they_are_stored() -> None:
    model = nn.Sequential(Conv1D(6, 4)).double()
    model = adapted(model, ShiraConfig(r=1, target_modules="all-linear", random_seed=0, fan_in_fan_out=True))
    (layer,) = layers(model)
    x = torch.randn(3, 4, dtype=torch.float64)
    assert (layer.in_features, layer.out_features, layer.get_delta_weight("default").shape) == (4, 6, (4, 6))
    torch.testing.assert_close(model(x), x @ (layer.base_weight() + layer.get_delta_weight("default")) + layer.bias)
