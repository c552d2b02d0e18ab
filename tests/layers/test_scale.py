"""The scale of an adapter: 0 is the base model, 1 the adapter as trained, and it is saved with the adapter."""

import json
import math
import warnings
from pathlib import Path

import peft
import pytest
import torch
from tiny import adapted, layers, mlp, run

from shira_lab import LoraConfig, PeftModel, ShiraConfig
from shira_lab.errors import AdapterError, ConfigError

CONFIGS = [
    ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0),
    LoraConfig(r=2, lora_alpha=6, target_modules=["lin0", "lin1"]),
]
kinds = pytest.mark.parametrize("config", CONFIGS, ids=["shira", "lora"])


@kinds
def test_a_scale_multiplies_the_trained_update(config: ShiraConfig | LoraConfig) -> None:
    model = adapted(mlp(), config)
    trained = [layer.get_delta_weight("default") for layer in layers(model)]
    for scale in (0.5, -2.0, 1.0):
        model.set_scale("default", scale)
        assert model.peft_config["default"].scale == scale
        for layer, delta in zip(layers(model), trained, strict=True):
            torch.testing.assert_close(layer.get_delta_weight("default"), scale * delta)
    model.set_scale("default", 0)
    assert torch.equal(run(model), run(mlp()))


@kinds
def test_lora_and_shira_scale_as_in_peft(config: ShiraConfig | LoraConfig) -> None:
    ours = adapted(mlp(), config)
    theirs = peft.get_peft_model(mlp(), getattr(peft, type(config).__name__)(**_plain(config)))
    for layer, path in zip(layers(ours), ("lin0", "lin1"), strict=True):
        twin = theirs.base_model.model.get_submodule(path)
        for one in (layer, twin):
            one.set_scale("default", 0.25)
        assert layer.scaling["default"] == twin.scaling["default"]


@kinds
def test_a_scale_is_saved_and_peft_says_that_it_ignores_it(config: ShiraConfig | LoraConfig, tmp_path: Path) -> None:
    model = adapted(mlp(), config)
    as_trained = run(model)
    model.set_scale("default", 0.3)
    layers(model)[1].set_scale("default", 2.0)
    expected = run(model)
    model.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (content["scale"], content["scale_pattern"]) == (0.3, {"^lin1": 2.0})
    back = PeftModel.from_pretrained(mlp(), tmp_path)
    assert torch.equal(run(back), expected)
    back.set_scale("default", 1.0)
    assert torch.equal(run(back), as_trained)
    with pytest.warns(UserWarning, match="scale"):
        theirs = peft.PeftModel.from_pretrained(mlp(), tmp_path)
    torch.testing.assert_close(run(theirs), as_trained)


@kinds
def test_an_adapter_at_scale_one_has_no_field_that_peft_does_not_know(
    config: ShiraConfig | LoraConfig, tmp_path: Path
) -> None:
    adapted(mlp(), config).save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        peft.PeftModel.from_pretrained(mlp(), tmp_path)


def test_a_merged_weight_follows_the_scale_and_is_there_again_after_disabling() -> None:
    model = adapted(mlp(), CONFIGS[0])
    model.merge_adapter()
    model.set_scale("default", 0.5)
    with model.disable_adapter():
        assert torch.equal(run(model), run(mlp()))
    for layer in layers(model):
        assert torch.equal(layer.weight.detach(), layer.base_weight() + layer.get_delta_weight("default").detach())
    model.unmerge_adapter()
    assert all(torch.equal(layer.weight, layer.base_weight()) for layer in layers(model))


@pytest.mark.parametrize("scale", [math.nan, math.inf, "1", None, True])
def test_a_scale_is_a_finite_number(scale: object) -> None:
    model = adapted(mlp(), CONFIGS[0])
    with pytest.raises(ConfigError, match=r"`scale` should be a finite number; got "):
        model.set_scale("default", scale)
    with pytest.raises(ConfigError, match=r"`scale` should be a finite number; got "):
        ShiraConfig(scale_pattern={"lin1": scale})
    with pytest.raises(AdapterError, match="Adapter other does not exist"):
        model.set_scale("other", 1.0)


def _plain(config: ShiraConfig | LoraConfig) -> dict[str, object]:
    names = ("r", "target_modules", "random_seed", "lora_alpha")
    return {name: getattr(config, name) for name in names if hasattr(config, name)}
