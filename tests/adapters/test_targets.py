"""One config finds the same layers here and in PEFT."""

import peft
import pytest
from peft.utils.constants import TRANSFORMERS_MODELS_TO_SHIRA_TARGET_MODULES_MAPPING as PEFT_TARGETS
from tiny import MLP, tiny_classifier, tiny_opt
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from shira_lab import LoraConfig, ShiraConfig, get_peft_model
from shira_lab.adapters.targets import DEFAULT_TARGETS
from shira_lab.errors import ConfigError

SELECTIONS = [
    {"target_modules": ["q_proj", "v_proj"]},
    {"target_modules": ["layers.1.self_attn.q_proj"]},
    {"target_modules": r".*layers\.\d\.self_attn.*(q|k)_proj$"},
    {"target_modules": "all-linear"},
    {"target_modules": ["q_proj", "fc1"], "exclude_modules": ["layers.0.fc1"]},
    {"target_modules": ["q_proj", "fc1"], "exclude_modules": r".*layers\.1\..*"},
    {"target_modules": ["q_proj", "fc1"], "layers_to_transform": [1]},
    {"target_modules": ["q_proj"], "layers_to_transform": 0},
    {"target_modules": None},
]


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("make", [tiny_opt, tiny_classifier])
def test_selections_match_pefts(selection: dict[str, object], make: type) -> None:
    ours = get_peft_model(make(), LoraConfig(r=1, **selection))
    theirs = peft.get_peft_model(make(), peft.LoraConfig(r=1, **selection))
    found = {name for name, module in theirs.base_model.model.named_modules() if hasattr(module, "lora_A")}
    assert {path for path, _ in ours.base_model.adapter_layers()} == found


def test_default_targets_are_pefts_where_it_has_some() -> None:
    both = DEFAULT_TARGETS.keys() & PEFT_TARGETS.keys()
    assert DEFAULT_TARGETS.keys() - both == {"phi3", "distilbert"}
    assert (DEFAULT_TARGETS["distilbert"], DEFAULT_TARGETS["phi3"]) == (("q_lin", "v_lin"), ("qkv_proj",))
    assert {name: list(DEFAULT_TARGETS[name]) for name in both} == {name: PEFT_TARGETS[name] for name in both}


def test_all_linear_leaves_the_head_out_even_where_it_has_an_adapter() -> None:
    model = get_peft_model(tiny_opt(tie_word_embeddings=False), ShiraConfig(r=1, target_modules=["lm_head"]))
    model.add_adapter("second", ShiraConfig(r=1, target_modules="all-linear"))
    assert "second" not in model.base_model.model.lm_head.adapters
    assert sum("second" in layer.adapters for _, layer in model.base_model.adapter_layers()) == 12


def test_gpt2_works_out_of_the_box() -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=8))
    with pytest.warns(UserWarning, match="`fan_in_fan_out` is set to True"):
        (layer,) = dict(get_peft_model(model, ShiraConfig(r=1)).base_model.adapter_layers()).values()
    assert (layer.in_features, layer.out_features) == (8, 24)


REFUSED = {
    r"Target modules \['q_porj'\] not found in the base model. Closest are: q_proj": {"target_modules": ["q_porj"]},
    "Target modules 'xyz' not found in the base model. Linear layers are named k_proj, v_proj, q_proj": {
        "target_modules": "xyz"
    },
    r"`target_modules=\['fc1'\]` matches, but `exclude_modules=\['fc1'\]`, .* leave no layer. Loosen one of them": {
        "target_modules": ["fc1"],
        "exclude_modules": ["fc1"],
    },
    "Target module 'model.decoder.layers.0' is a OPTDecoderLayer, which is not supported; only nn.Linear and Conv1D": {
        "target_modules": ["layers.0"]
    },
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_selection_that_finds_nothing_to_adapt_says_what_is_there(message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_peft_model(tiny_opt(), ShiraConfig(r=1, **REFUSED[message]))


def test_an_unknown_architecture_needs_targets() -> None:
    message = "Please specify `target_modules` in `peft_config`: there is no default for the model type None"
    with pytest.raises(ConfigError, match=message):
        get_peft_model(MLP(), ShiraConfig(r=1))


def test_the_index_of_a_layer_is_a_number_inside_its_path_not_at_the_end() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4)))
    with pytest.raises(ConfigError, match=r"`layers_to_transform=\[0\]` .* leave no layer"):
        get_peft_model(model, ShiraConfig(r=1, target_modules=["0.0"], layers_to_transform=[0]))
    with pytest.raises(ConfigError, match=r"`layers_to_transform=\[0\]` .* leave no layer"):
        get_peft_model(MLP(), ShiraConfig(r=1, target_modules=["lin0"], layers_to_transform=[0]))
