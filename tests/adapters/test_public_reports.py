"""Programs that broke other libraries of this kind, rebuilt small; ``docs/what-is-safe.md`` names the reports."""

import copy
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tiny import MLP, fill_randomly, same_bits, snapshot, tiny_classifier, tiny_opt, tokens
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from shira_lab import (
    LoraConfig,
    PeftModel,
    ShiraConfig,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)

CONFIGS = [
    ShiraConfig(r=2, target_modules=["lin1"], random_seed=0, init_weights=False),
    LoraConfig(r=2, target_modules=["lin1"], init_lora_weights=False),
]
each_config = pytest.mark.parametrize("config", CONFIGS, ids=["shira", "lora"])


def mlp(config: ShiraConfig | LoraConfig) -> tuple[PeftModel, Tensor]:
    torch.manual_seed(0)
    return get_peft_model(MLP(), config).eval(), torch.randn(3, 10)


@each_config
def test_an_error_while_adapters_are_disabled_leaves_them_enabled(config: ShiraConfig) -> None:
    model, x = mlp(config)
    right = model(x)
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), model.disable_adapter():
            raise error
        assert torch.equal(model(x), right)


@each_config
def test_adapters_that_are_disabled_inside_and_outside_stay_so_until_the_outer_end(config: ShiraConfig) -> None:
    model, x = mlp(config)
    right = model(x)
    with model.disable_adapter():
        base = model(x)
        with model.disable_adapter():
            assert torch.equal(model(x), base)
        assert torch.equal(model(x), base)
    assert torch.equal(model(x), right) and not torch.equal(right, base)


@each_config
@pytest.mark.parametrize("trains", [True, False])
def test_loading_an_adapter_to_be_trained_does_not_change_what_trains_now(
    trains: bool, config: ShiraConfig, tmp_path: Path
) -> None:
    model, _ = mlp(config)
    model.save_pretrained(tmp_path)
    model.set_adapter("default", inference_mode=not trains)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    model.load_adapter(tmp_path, "other", is_trainable=True)
    after = {name: p.requires_grad for name, p in model.named_parameters()}
    assert {name: after[name] for name in before} == before
    assert model.active_adapters == ["default"]


def test_one_state_dict_is_loaded_into_several_models_and_stays_as_it_is() -> None:
    config = ShiraConfig(r=1, target_modules=["q_proj"], random_seed=0, modules_to_save=["score"])
    first = fill_randomly(get_peft_model(tiny_classifier(), config))
    first.base_model.model.score.modules_to_save["default"].weight.data.add_(1)
    state = get_peft_model_state_dict(first)
    before = dict(state)
    for _ in range(2):
        other = get_peft_model(tiny_classifier(), config)
        set_peft_model_state_dict(other, state)
        assert state.keys() == before.keys() and all(state[name] is before[name] for name in before)
        assert torch.equal(other(tokens()).logits, first(tokens()).logits)


@each_config
@pytest.mark.parametrize("name", ["lin1", "1.lin1"])
def test_a_compiled_model_is_adapted_by_the_names_that_it_had(name: str, config: ShiraConfig) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Identity(), MLP())
    compiled = torch.compile(copy.deepcopy(plain), backend="eager")
    x = torch.randn(3, 10)
    torch.manual_seed(1)
    right = get_peft_model(plain, config.copy(target_modules=[name])).eval()(x)
    torch.manual_seed(1)
    model = get_peft_model(compiled, config.copy(target_modules=[name])).eval()
    torch.testing.assert_close(model(x), right)


@each_config
def test_a_compiled_model_follows_when_adapters_are_disabled_switched_and_scaled(config: ShiraConfig) -> None:
    model, x = mlp(config)
    model.add_adapter("other", config.copy(r=1))
    compiled = torch.compile(model, backend="eager")
    changes: list[Callable[[], object]] = [
        lambda: None, lambda: model.set_adapter("other"), lambda: model.set_scale("other", 3.0),
        lambda: model.set_adapter(["default", "other"]), lambda: model.base_model.disable_adapter_layers(),
        lambda: model.base_model.enable_adapter_layers(), lambda: model.merge_adapter(),
    ]  # fmt: skip
    for change in changes:
        change()
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), model(x))


@pytest.fixture
def fresh_accelerator() -> Iterator[None]:
    """accelerate keeps one precision for the process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("fresh_accelerator")
@each_config
def test_a_model_that_was_prepared_for_half_precision_is_unwrapped_copied_and_pickled(config: ShiraConfig) -> None:
    model, x = mlp(config)
    right = model(x)
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    prepared = accelerator.prepare(model)
    torch.testing.assert_close(prepared(x), right, rtol=0.1, atol=0.1)
    back = accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
    assert torch.equal(back(x), right) and torch.equal(copy.deepcopy(back)(x), right)
    file = io.BytesIO()
    torch.save(back, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x), right)


def test_an_adapter_is_deleted_with_the_modules_of_its_own() -> None:
    config = ShiraConfig(r=1, target_modules=["q_proj"], random_seed=0, modules_to_save=["score"])
    model = get_peft_model(tiny_classifier(), config)
    before = snapshot(model)
    model.add_adapter("other", config.copy(random_seed=1))
    model.delete_adapter("other")
    assert same_bits(snapshot(model), before)


@each_config
@pytest.mark.parametrize("ema", [False, True])
def test_averaged_models_average_values_at_the_same_places(ema: bool, config: ShiraConfig) -> None:
    model, x = mlp(config)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5) if ema else None)
    base = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    history = []
    for _ in range(3):
        model(x).pow(2).sum().backward()
        optimizer.step()
        averaged.update_parameters(model)
        history.append([p.detach().clone() for p in model.parameters() if p.requires_grad])
    weights = [0.25, 0.25, 0.5] if ema else [1 / 3] * 3
    found = [p for p in averaged.module.parameters() if p.requires_grad]
    for parameter, *past in zip(found, *history, strict=True):
        torch.testing.assert_close(parameter, sum(w * p for w, p in zip(weights, past, strict=True)))
    kept = dict(averaged.module.named_parameters())
    assert all(torch.equal(kept[name], value) for name, value in base.items())


@each_config
def test_embeddings_are_resized_below_an_adapter(config: ShiraConfig) -> None:
    model = get_peft_model(tiny_opt(tie_word_embeddings=True), config.copy(target_modules=["q_proj"])).eval()
    right = model(tokens()).logits
    model.resize_token_embeddings(60)
    torch.testing.assert_close(model(tokens()).logits[..., :50], right)
    assert model(tokens()).logits.shape[-1] == 60
