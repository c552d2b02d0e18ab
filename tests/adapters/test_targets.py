"""One config finds the same layers here and in PEFT."""

import warnings

import peft
import pytest
from peft.utils.constants import TRANSFORMERS_MODELS_TO_SHIRA_TARGET_MODULES_MAPPING as PEFT_TARGETS
from tiny import MLP, tiny_classifier, tiny_opt
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, WavLMConfig, WavLMModel

from shira_lab import LoraConfig, ShiraConfig, get_peft_model
from shira_lab.adapters.default_targets import DEFAULT_TARGETS
from shira_lab.adapters.targets import find_targets
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


MODULE, LAYER = "module of the model", "layer that gets the adapter"
UNMATCHED = [
    ({"target_modules": ["fc1", "q_porj"]}, f"`target_modules`: no {MODULE} matches 'q_porj', so this has no effect"),
    ({"exclude_modules": ["layers.0.fc1", "fc9"]}, f"`exclude_modules`: no {MODULE} matches 'fc9', so"),
    ({"exclude_modules": r".*fc\d{2}"}, rf"`exclude_modules`: no {MODULE} matches '.*fc\\d{{2}}', so"),
    ({"rank_pattern": {"fc9": 2, "fc1": 2}}, f"`rank_pattern`: no {LAYER} matches 'fc9', so"),
    ({"rank_pattern": {"q_proj": 2}}, f"`rank_pattern`: no {LAYER} matches 'q_proj', so"),
    ({"scale_pattern": {"fc9": 2.0, "fc8": 2.0}}, f"`scale_pattern`: no {LAYER} matches 'fc8', 'fc9', so"),
    ({"layers_to_transform": [0, 99]}, f"`layers_to_transform`: no {LAYER} matches 99, so"),
]


@pytest.mark.parametrize(("fields", "message"), UNMATCHED)
@pytest.mark.parametrize("kind", [ShiraConfig, LoraConfig])
def test_a_name_that_matches_nothing_beside_names_that_do_is_warned_of_once(
    kind: type, fields: dict[str, object], message: str
) -> None:
    with pytest.warns(UserWarning) as told:
        get_peft_model(tiny_opt(), kind(**{"r": 1, "target_modules": ["fc1"], **fields}))
    (warning,) = told
    assert str(warning.message).startswith(message)


def test_a_misspelled_alpha_pattern_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=f"`alpha_pattern`: no {LAYER} matches 'fc9', so this has no effect."):
        get_peft_model(tiny_opt(), LoraConfig(r=1, target_modules=["fc1"], alpha_pattern={"fc9": 4}))


def test_a_name_of_an_adapted_layer_is_no_unknown_name() -> None:
    model = get_peft_model(tiny_opt(), ShiraConfig(r=1, target_modules=["fc1"]))
    patterns = {"rank_pattern": {"fc1": 1}, "exclude_modules": ["fc2"], "layers_to_transform": [0, 1]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.add_adapter("second", ShiraConfig(r=1, target_modules=["fc1"], **patterns))


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("wanted", [".*fc1", r".*layers\.\d+\.fc1|", "all-linear"])
def test_one_list_of_modules_is_searched_whoever_asks(wanted: str, adapted: bool) -> None:
    """The model itself has the empty path; it is no module that could be targeted."""
    model, config = tiny_opt(), ShiraConfig(r=1, target_modules=wanted)
    if adapted:
        get_peft_model(model, ShiraConfig(r=1, target_modules=["fc1", "q_proj"]))
    found = find_targets(model, config)
    assert all(isinstance(layer, nn.Linear) for layer in found.values())
    assert list(found) == [path for path, _ in get_peft_model(tiny_opt(), config).base_model.adapter_layers()]


class Around(nn.Module):
    """A layer of an encoder, and a linear layer after it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.last = nn.Linear(16, 16)


def wavlm() -> WavLMModel:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    convolution = {"conv_dim": (8,), "conv_stride": (5,), "conv_kernel": (10,), "num_conv_pos_embedding_groups": 4}
    return WavLMModel(WavLMConfig(**sizes, **convolution))


READ = [
    (Around, "encoder.self_attn.out_proj", "MultiheadAttention"),
    (Around, "encoder.linear1", "TransformerEncoderLayer"),
    (Around, "encoder.linear2", "TransformerEncoderLayer"),
    (wavlm, "encoder.layers.0.attention.q_proj", "WavLMAttention"),
    (wavlm, "encoder.layers.0.attention.out_proj", "WavLMAttention"),
]


@pytest.mark.parametrize(("make", "path", "reader"), READ)
@pytest.mark.parametrize("kind", [ShiraConfig, LoraConfig])
def test_a_layer_whose_weight_is_read_without_a_call_is_refused(kind: type, make: type, path: str, reader: str) -> None:
    model = make()
    before = str(model)
    with pytest.raises(ConfigError) as told:
        get_peft_model(model, kind(r=1, target_modules=[path]))
    assert str(told.value) == (
        f"Target module '{path}' cannot carry an adapter: the {reader} around it reads its weight and does not "
        f"call it. Leave it out with exclude_modules=['{path}'], or train the {reader} in full with modules_to_save."
    )
    assert str(model) == before


def test_all_linear_leaves_out_what_is_read_without_a_call() -> None:
    config = ShiraConfig(r=1, target_modules="all-linear")
    assert list(find_targets(Around(), config)) == ["last"]
    assert not [path for path in find_targets(wavlm(), config) if path.endswith("_proj")]
