"""State dicts under PEFT's names: an adapter's, alone, and the base model's, as if no adapter was there."""

from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from tiny import MLP, adapted, fill_randomly, layers, mlp, run, same_bits, snapshot
from torch import Tensor, nn

import shira_lab
from shira_lab import (
    LoraConfig,
    PeftModel,
    ShiraConfig,
    get_base_model_state_dict,
    get_peft_model,
    get_peft_model_state_dict,
    inject_adapter_in_model,
    set_base_model_state_dict,
    set_peft_model_state_dict,
)
from shira_lab.errors import AdapterError, StorageError

SHIRA = ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0, modules_to_save=["lin2"])
LORA = LoraConfig(r=2, target_modules=["lin0", "lin1"])


# ---- an adapter's ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ShiraConfig", "LoraConfig"])
@pytest.mark.parametrize("around", [True, False], ids=["wrapped", "injected"])
def test_the_names_and_shapes_are_pefts(kind: str, around: bool) -> None:
    def shapes(library: Any) -> dict[str, tuple[int, ...]]:
        config = getattr(library, kind)(r=2, target_modules=["lin0", "lin1"])
        model = library.get_peft_model(mlp(), config) if around else library.inject_adapter_in_model(config, mlp())
        return {name: tuple(value.shape) for name, value in library.get_peft_model_state_dict(model).items()}

    assert shapes(shira_lab) == shapes(peft)


@pytest.mark.parametrize("config", [SHIRA, LORA])
def test_one_adapters_tensors_move_to_another_mask_and_model(config: ShiraConfig | LoraConfig) -> None:
    model = adapted(mlp(), config)
    model.add_adapter("default2", LORA)
    state = get_peft_model_state_dict(model)
    assert not any(value.requires_grad for value in state.values())
    fresh = config.copy(random_seed=1) if isinstance(config, ShiraConfig) else config
    twin = get_peft_model(mlp(), fresh, "twin")
    assert not torch.allclose(run(twin), run(model), atol=1e-4)
    assert set_peft_model_state_dict(twin, state, "twin") == ([], [])
    assert torch.equal(run(twin), run(model))
    assert same_bits(get_peft_model_state_dict(twin, "twin"), state)


def test_pefts_tensors_in_pefts_order_fit_here() -> None:
    config = peft.ShiraConfig(r=2, target_modules=["lin0"], random_seed=3, init_weights=False)
    theirs = peft.get_peft_model(mlp(), config)
    state = peft.get_peft_model_state_dict(theirs)
    shuffle = torch.randperm(state["base_model.model.lin0.shira_weight"].numel())
    state["base_model.model.lin0.shira_weight"] = state["base_model.model.lin0.shira_weight"][shuffle]
    state["base_model.model.lin0.shira_indices"] = state["base_model.model.lin0.shira_indices"][:, shuffle]
    ours = get_peft_model(mlp(), ShiraConfig(r=2, target_modules=["lin0"]))
    set_peft_model_state_dict(ours, state)
    torch.testing.assert_close(run(ours), run(theirs))


def outside(state: dict[str, Tensor]) -> None:
    state["base_model.model.lin1.shira_indices"] = state["base_model.model.lin1.shira_indices"] + 20


BROKEN: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "the state dict: tensor 'lin1.shira_weight' is missing": lambda s: s.pop("base_model.model.lin1.shira_weight"),
    "the state dict: tensor 'more' is not expected": lambda s: s.update(more=torch.ones(1)),
    "the state dict: tensor 'lin1.shira_indices' holds positions outside the weight": outside,
}


@pytest.mark.parametrize("message", BROKEN)
def test_tensors_that_do_not_fit_change_nothing(message: str) -> None:
    model = adapted(mlp(), SHIRA)
    state = get_peft_model_state_dict(adapted(mlp(), SHIRA, seed=9))
    BROKEN[message](state)
    before, output = snapshot(model), run(model)
    with pytest.raises(StorageError, match=message):
        set_peft_model_state_dict(model, state)
    assert same_bits(snapshot(model), before) and torch.equal(run(model), output)


def test_what_is_no_model_has_no_state_dict_of_an_adapter() -> None:
    with pytest.raises(AdapterError) as caught:
        get_peft_model_state_dict(3)
    assert str(caught.value) == "`model` should be a PeftModel, or a model with injected adapters; got 3."


def test_an_adapter_that_is_not_there_merged_or_wrapped_again_is_refused() -> None:
    model = adapted(mlp(), SHIRA)
    state = get_peft_model_state_dict(model)
    with pytest.raises(AdapterError, match="Adapter other does not exist on this model"):
        get_peft_model_state_dict(model, "other")
    with pytest.raises(AdapterError, match=r"A DataParallel is around the PeftModel.* `model.module`"):
        get_peft_model_state_dict(nn.DataParallel(model))
    model.merge_adapter()
    with pytest.raises(AdapterError, match="Adapter default is merged; call `unmerge_adapter` before"):
        set_peft_model_state_dict(model, state)


# ---- injected -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [SHIRA, LORA])
def test_an_injected_adapter_is_the_wrapped_one_in_the_users_own_object(config: ShiraConfig | LoraConfig) -> None:
    wrapped = adapted(mlp(), config)
    state = {key.removeprefix("base_model.model."): v for key, v in get_peft_model_state_dict(wrapped).items()}
    base = mlp()
    assert inject_adapter_in_model(config, base) is base
    set_peft_model_state_dict(base, state)
    assert torch.equal(run(base), run(wrapped))
    trains = {name for name, p in base.named_parameters() if p.requires_grad}
    assert trains and all("default" in name for name in trains)
    with pytest.raises(AdapterError, match="This model has adapters already"):
        PeftModel(base)


# ---- the base model's -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [SHIRA, LORA])
@pytest.mark.parametrize("merged", [False, True])
def test_the_base_models_state_dict_is_bit_for_bit_that_without_adapters(
    config: ShiraConfig | LoraConfig, merged: bool
) -> None:
    model = adapted(mlp(), config)
    run(model)
    if merged:
        model.merge_adapter()
    assert all(torch.equal(layer.weight, layer.base_weight()) for layer in layers(model)) is not merged
    assert same_bits(get_base_model_state_dict(model), snapshot(mlp()))


def test_other_base_weights_can_be_put_below_an_adapter() -> None:
    torch.manual_seed(5)
    other = MLP()
    model, expected = adapted(mlp(), SHIRA.copy(modules_to_save=None)), None
    run(model)
    assert set_base_model_state_dict(model, other.state_dict()) == ([], [])
    expected = adapted(other, SHIRA.copy(modules_to_save=None))
    assert torch.equal(run(model), run(expected))


def test_a_state_dict_of_another_base_model_is_refused() -> None:
    model = fill_randomly(get_peft_model(mlp(), SHIRA))
    state = mlp().state_dict()
    state["more"] = state.pop("lin0.bias") + 1
    before = snapshot(model)
    with pytest.raises(AdapterError, match=r"missing are \['lin0.bias'\], not expected \['more'\]"):
        set_base_model_state_dict(model, state)
    assert same_bits(snapshot(model), before)
    assert set_base_model_state_dict(model, state, strict=False) == (["lin0.bias"], ["more"])
    with pytest.raises(AdapterError, match=r"missing are none, not expected \['more'\]"):
        set_base_model_state_dict(model, {**mlp().state_dict(), "more": torch.ones(1)})
