"""Arguments that PEFT's functions take: what one asks for is done as PEFT does it, or refused with a reason."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from tiny import adapted, fill_randomly, layers, mlp, run, same_bits, snapshot, tiny_opt, tokens
from torch import nn

import shira_lab
from shira_lab import LoraConfig, PeftModel, ShiraConfig, TaskType, get_peft_model
from shira_lab.errors import ConfigError, ShiraError, StorageError

SHIRA = ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0)
LORA = LoraConfig(r=2, target_modules=["lin0", "lin1"])
HALVES = [torch.float16, torch.bfloat16]


def dtypes(model: nn.Module) -> set[torch.dtype]:
    return {p.dtype for name, p in model.named_parameters() if "shira_" in name or "lora_" in name}


# ---- autocast_adapter_dtype -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ShiraConfig", "LoraConfig"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES])
@pytest.mark.parametrize("autocast", [True, False])
def test_adapters_have_the_dtype_that_pefts_have(kind: str, dtype: torch.dtype, autocast: bool, tmp_path: Path) -> None:
    def through(library: Any, folder: Path) -> list[set[torch.dtype]]:
        config = getattr(library, kind)(r=2, target_modules=["lin0"])
        model = library.get_peft_model(mlp(dtype), config, autocast_adapter_dtype=autocast)
        model.add_adapter("second", config, autocast_adapter_dtype=autocast)
        model.save_pretrained(folder)
        back = library.PeftModel.from_pretrained(mlp(dtype), folder, autocast_adapter_dtype=autocast)
        back.load_adapter(folder / "second", "second", autocast_adapter_dtype=autocast)
        return [dtypes(model), dtypes(back)]

    theirs = through(peft, tmp_path / "theirs")
    assert through(shira_lab, tmp_path / "ours") == theirs


@pytest.mark.parametrize("config", [SHIRA, LORA])
@pytest.mark.parametrize("dtype", HALVES)
def test_a_half_precision_adapter_trains_and_leaves_the_base_bit_for_bit(
    config: ShiraConfig | LoraConfig, dtype: torch.dtype
) -> None:
    model = fill_randomly(get_peft_model(mlp(dtype), config, autocast_adapter_dtype=False))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.linspace(-1, 1, 40).view(4, 10).to(dtype)).float().square().mean().backward()
        optimizer.step()
    assert dtypes(model) == {dtype} and {p.grad.dtype for p in optimizer.param_groups[0]["params"]} == {dtype}
    active = run(model)
    model.merge_adapter()
    torch.testing.assert_close(run(model), active, rtol=0.05, atol=0.01)
    assert same_bits(snapshot(model.unload()), snapshot(mlp(dtype)))


@pytest.mark.parametrize("dtype", HALVES)
def test_the_gradient_of_half_precision_values_is_dense_autograds_rounded(dtype: torch.dtype) -> None:
    model = fill_randomly(get_peft_model(mlp(dtype), SHIRA, autocast_adapter_dtype=False))
    (layer, _) = layers(model)
    x = torch.linspace(-1, 1, 40).view(4, 10).to(dtype)
    layer(x).float().square().sum().backward()
    weight = (layer.weight + layer.delta_weight("default")).detach().requires_grad_()
    nn.functional.linear(x, weight, layer.bias).float().square().sum().backward()
    expected = weight.grad.flatten()[layer.adapters["default"].positions]
    torch.testing.assert_close(layer.shira_weight["default"].grad, expected, rtol=2e-2, atol=2e-2)


# ---- config= --------------------------------------------------------------------------------------------------------


def test_a_config_passed_to_loading_is_used_and_left_as_it_is(tmp_path: Path) -> None:
    model = adapted(mlp(), SHIRA)
    model.save_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").unlink()
    given = SHIRA.copy(base_model_name_or_path="told")
    back = PeftModel.from_pretrained(mlp(), tmp_path, config=given)
    assert torch.equal(run(back), run(model))
    assert back.peft_config["default"] == given.copy(inference_mode=True) and not given.inference_mode


def test_a_config_passed_to_loading_is_held_against_the_tensors(tmp_path: Path) -> None:
    adapted(mlp(), SHIRA).save_pretrained(tmp_path)
    with pytest.raises(StorageError, match=r"tensor 'lin0.shira_weight' has shape \(60,\); the model and config need"):
        PeftModel.from_pretrained(mlp(), tmp_path, config=SHIRA.copy(r=3))
    with pytest.raises(StorageError, match=r"tensor 'lin0.lora_A.weight' is missing"):
        PeftModel.from_pretrained(mlp(), tmp_path, config=LORA)


def test_a_compact_file_takes_its_positions_from_its_own_seed_whatever_config_is_passed(tmp_path: Path) -> None:
    model = adapted(mlp(), SHIRA)
    model.save_pretrained(tmp_path, compact=True)
    back = PeftModel.from_pretrained(mlp(), tmp_path, config=SHIRA.copy(random_seed=1))
    assert torch.equal(run(back), run(model))


def test_a_loaded_mask_gets_no_seed_that_did_not_draw_it(tmp_path: Path) -> None:
    peft.get_peft_model(mlp(), peft.ShiraConfig(r=2, target_modules=["lin0"])).save_pretrained(tmp_path)
    base, before = mlp(), torch.random.get_rng_state()
    config = PeftModel.from_pretrained(base, tmp_path).peft_config["default"]
    assert isinstance(config, ShiraConfig) and config.random_seed is None
    assert torch.equal(torch.random.get_rng_state(), before)


# ---- where things are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [{"torch_device": "cpu"}, {"device_map": {"": "cpu"}}, {"low_cpu_mem_usage": True}])
def test_a_device_that_the_model_is_on_is_accepted(where: dict[str, Any], tmp_path: Path) -> None:
    model = adapted(mlp(), SHIRA)
    model.save_pretrained(tmp_path)
    assert torch.equal(run(PeftModel.from_pretrained(mlp(), tmp_path, **where)), run(model))


@pytest.mark.parametrize(
    "where, message",
    [
        ({"torch_device": "cuda"}, r"'lin0.weight' is on cpu, not on cuda as expected; .* Move the model first"),
        ({"device_map": {"": "cpu", "lin1": "meta"}}, "'lin1.weight' is on cpu, not on meta as expected"),
        ({"device_map": "auto"}, "`device_map='auto'` would place the model, which is not done here: place it first"),
    ],
)
def test_a_device_that_the_model_is_not_on_is_refused(where: dict[str, Any], message: str, tmp_path: Path) -> None:
    adapted(mlp(), SHIRA).save_pretrained(tmp_path)
    base, before = mlp(), snapshot(mlp())
    with pytest.raises(ShiraError, match=message):
        PeftModel.from_pretrained(base, tmp_path, **where)
    assert same_bits(snapshot(base), before)


def test_loading_returns_what_load_state_dict_returns(tmp_path: Path) -> None:
    model = adapted(mlp(), SHIRA)
    model.save_pretrained(tmp_path)
    result = model.load_adapter(tmp_path, "again")
    assert (result.missing_keys, result.unexpected_keys) == ([], [])


def test_push_to_hub_does_not_upload_the_base_model() -> None:
    model = get_peft_model(tiny_opt(), ShiraConfig(r=1))
    assert callable(model.get_base_model().push_to_hub)
    with pytest.raises(ShiraError, match=r"`push_to_hub` is not offered. Save the adapter with `save_pretrained"):
        model.push_to_hub("somebody/something")


# ---- switches and names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", [shira_lab, peft], ids=["shira_lab", "peft"])
def test_adapters_are_switched_and_counted_as_in_peft(library: Any) -> None:
    model = library.get_peft_model(mlp(), library.ShiraConfig(r=2, target_modules=["lin0"], init_weights=False))
    model.add_adapter("second", library.ShiraConfig(r=1, target_modules=["lin0"]))
    active = run(model)
    assert model.prefix == "shira_" and model.base_model.active_adapter in ("default", ["default"])
    model.base_model.disable_adapter_layers()
    assert torch.equal(run(model), run(mlp()))
    model.base_model.enable_adapter_layers()
    assert torch.equal(run(model), active)
    with model.disable_adapter():
        assert not model.has_active_enabled_adapter
    assert model.has_active_enabled_adapter
    model.base_model.set_adapter(["default", "second"])
    assert model.base_model.active_adapter == ["default", "second"]


def test_merging_what_is_merged_warns_and_changes_nothing() -> None:
    model = adapted(mlp(), SHIRA)
    model.merge_adapter()
    before = run(model)
    fill_randomly(model, seed=5)
    with pytest.warns(UserWarning, match="All adapters are already merged, nothing to do"):
        model.merge_adapter()
    assert torch.equal(run(model), before)


def test_prepared_for_reentrant_checkpoints_the_embeddings_require_a_gradient() -> None:
    model = get_peft_model(tiny_opt(), ShiraConfig(r=1))
    embedded = model.get_input_embeddings()
    assert not embedded(tokens()).requires_grad
    assert model.prepare_model_for_gradient_checkpointing(model) is model
    assert embedded(tokens()).requires_grad


# ---- task types -----------------------------------------------------------------------------------------------------


def test_task_types_are_pefts() -> None:
    assert [str(task) for task in TaskType] == [task.value for task in peft.TaskType]
    for task in (*TaskType, *peft.TaskType):
        assert ShiraConfig(task_type=task).task_type == task


def test_an_unknown_task_type_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"Invalid task type: 'POETRY'. Must be one of the following task types: SEQ"):
        ShiraConfig(task_type="POETRY")
