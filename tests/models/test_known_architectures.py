"""Models without weights: their shapes are those of the real models, and a model that cannot be had is explained."""

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from loopback_hub import loopback_hub
from tiny import opt_config
from torch import nn
from transformers import AutoModelForCausalLM, FalconConfig, GPT2Config, LlamaConfig, PreTrainedConfig

from shira_lab.errors import ConfigError, ShiraError
from shira_lab.masks.positions import shape_of
from shira_lab.models import hub
from shira_lab.models.architectures import GROUPS, find_architecture, known_models
from shira_lab.models.architectures.activations import TOKENS, _alike, bytes_per_token
from shira_lab.models.hub import load_model

SMALL = {"num_hidden_layers": 4, "hidden_size": 32, "num_attention_heads": 4, "vocab_size": 50}
LLAMA = LlamaConfig(**SMALL, intermediate_size=48, num_key_value_heads=2)
GPT2 = GPT2Config(n_layer=4, n_embd=32, n_head=4, vocab_size=50)


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local cache, and a hub where nobody answers."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub"


# ---- well-known models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", known_models())
def test_a_known_model_has_its_published_number_of_parameters(name: str, no_hub: Path) -> None:
    architecture = find_architecture(name)
    assert architecture.parameters == known_models()[name]
    assert {parameter.device.type for parameter in architecture.model.parameters()} == {"meta"}


def test_the_known_models_reach_from_125_million_to_70_billion() -> None:
    sizes = list(known_models().values())
    assert sizes == sorted(sizes) and sizes[0] < 130e6 and sizes[-1] > 70e9


# ---- any other model ------------------------------------------------------------------------------------------------


def test_the_embedded_model_has_its_real_shapes() -> None:
    model, _ = load_model()
    architecture = find_architecture("embedded")
    assert architecture.parameters == sum(parameter.numel() for parameter in model.parameters())
    for group in GROUPS:
        shapes = architecture.shapes(group)
        assert shapes == {path: shape_of(model.get_submodule(path)) for path in shapes}


@pytest.mark.parametrize("config", [opt_config(), LLAMA, GPT2], ids=lambda config: config.model_type)
def test_a_folder_with_a_configuration_is_enough(config: PreTrainedConfig, tmp_path: Path, no_hub: Path) -> None:
    config.save_pretrained(tmp_path)
    real = AutoModelForCausalLM.from_config(config)
    architecture = find_architecture(tmp_path)
    assert architecture.parameters == sum(parameter.numel() for parameter in real.parameters())
    linear = {
        path: tuple(module.weight.shape)
        for path, module in real.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and path != "lm_head"
    }
    assert architecture.shapes() == linear


def test_a_cached_configuration_needs_no_hub_and_no_weights(no_hub: Path) -> None:
    repository = no_hub / "models--someone--tales"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    with as_file(files("shira_lab.models") / "embedded" / "config.json") as config:
        shutil.copy(config, repository / "snapshots" / ("0" * 40))
    assert find_architecture("someone/tales").parameters == find_architecture("embedded").parameters


def test_of_a_model_on_the_hub_the_configuration_alone_is_fetched(
    no_hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opt_config().save_pretrained(tmp_path / "published")
    (tmp_path / "published/model.safetensors").write_bytes(bytes(100))
    with loopback_hub() as server:
        server.models["someone/tales"] = tmp_path / "published"
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        assert find_architecture("someone/tales").config.model_type == "opt"
    assert set(server.ranges) == {"config.json"}


def test_a_hub_that_does_not_answer_is_explained(no_hub: Path) -> None:
    with pytest.raises(ShiraError) as error:
        find_architecture("someone/tales")
    assert str(error.value) == (
        "'someone/tales' is neither a folder nor in the local cache, and http://127.0.0.1:9 could not be reached. "
        + hub.INSTEAD
    )


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"model_type": "unheard-of"},
        {"model_type": "opt", "hidden_size": "many"},
        {"model_type": "opt", "auto_map": {"AutoConfig": "code.Config"}, "hidden_size": -3},
        {"model_type": "x", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}},
        {"model_type": "vit"},
    ],
    ids=str,
)
def test_a_configuration_that_cannot_work_is_explained_and_no_code_beside_it_runs(
    content: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ShiraError, match=r"no (configuration of a|causal language) model could be (read|built) from"):
        find_architecture(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_an_empty_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ShiraError, match=f"no configuration of a model could be read from {tmp_path}: "):
        find_architecture(tmp_path)


# ---- groups of layers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "query_value", "attention", "feed_forward"),
    [
        ("facebook/opt-350m", {"q_proj", "v_proj"}, {"q_proj", "k_proj", "v_proj", "out_proj"}, {"fc1", "fc2"}),
        ("gpt2", {"c_attn"}, {"c_attn", "c_proj"}, {"c_fc", "c_proj"}),
        (
            "meta-llama/Llama-3.1-8B",
            {"q_proj", "v_proj"},
            {"q_proj", "k_proj", "v_proj", "o_proj"},
            {"gate_proj", "up_proj", "down_proj"},
        ),
    ],
)
def test_groups_find_the_layers_whatever_they_are_called(
    name: str, query_value: set[str], attention: set[str], feed_forward: set[str]
) -> None:
    architecture = find_architecture(name)
    groups = {group: architecture.shapes(group) for group in GROUPS}
    found = {group: {path.rsplit(".", 1)[-1] for path in shapes} for group, shapes in groups.items()}
    assert (found["query-value"], found["attention"], found["feed-forward"]) == (query_value, attention, feed_forward)
    assert not groups["attention"].keys() & groups["feed-forward"].keys()
    outside = groups["all-linear"].keys() - groups["attention"].keys() - groups["feed-forward"].keys()
    assert outside == ({"model.decoder.project_in", "model.decoder.project_out"} if name.endswith("350m") else set())


def test_targets_that_match_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="Target modules \\['c_attn'\\] not found in the base model"):
        find_architecture("facebook/opt-125m").shapes(["c_attn"])


# ---- activations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [opt_config(num_hidden_layers=5), LLAMA, GPT2], ids=lambda config: config.model_type)
def test_two_blocks_tell_what_all_blocks_keep(
    config: PreTrainedConfig, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_two = bytes_per_token(config, dtype, None)
    monkeypatch.setattr("shira_lab.models.architectures.activations._alike", lambda blocks: False)
    assert by_two == bytes_per_token(config, dtype, None)


def test_blocks_that_differ_are_all_counted(tmp_path: Path) -> None:
    opt_config(num_hidden_layers=6).save_pretrained(tmp_path)
    shapes = find_architecture(tmp_path).shapes(["fc1"])
    last = [path for path in shapes if ".5." in path]
    config = find_architecture(tmp_path).config
    assert bytes_per_token(config, torch.float32, last) < bytes_per_token(config, torch.float32, list(shapes))


def test_blocks_are_alike_when_their_layers_and_hooks_are() -> None:
    blocks = nn.ModuleList(nn.Sequential(nn.Linear(2, 3)) for _ in range(3))
    assert _alike(blocks)
    blocks[1][0].register_forward_hook(print)
    assert not _alike(blocks)
    assert not _alike(nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 4)]))


def test_what_is_kept_grows_evenly_with_the_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    from shira_lab.models.architectures import activations

    one = bytes_per_token(LLAMA, torch.float32, None)
    monkeypatch.setattr(activations, "TOKENS", 8 * TOKENS)
    assert bytes_per_token(LLAMA, torch.float32, None) == pytest.approx(one, rel=0.001)


def test_counting_leaves_the_configuration_as_it_was() -> None:
    before = LLAMA.to_dict(), LLAMA._attn_implementation
    bytes_per_token(LLAMA, torch.float32, None)
    assert (LLAMA.to_dict(), LLAMA._attn_implementation) == before


def test_more_adapted_layers_keep_more() -> None:
    architecture = find_architecture("gpt2")
    kept = [
        architecture.costs(4, architecture.shapes(group), tokens=100)["SHiRA"].activations
        for group in ("query-value", "all-linear")
    ]
    assert 0 < kept[0] < kept[1] <= architecture.costs(4, architecture.shapes(), tokens=100)["full"].activations
    assert architecture.costs(4, architecture.shapes())["SHiRA"].activations == 0


def test_a_frozen_model_keeps_nothing() -> None:
    assert bytes_per_token(LLAMA, torch.float32, []) == 0


def test_a_model_with_an_attention_of_its_own_is_counted_without_activations(tmp_path: Path) -> None:
    FalconConfig(**SMALL, multi_query=False, new_decoder_architecture=False).save_pretrained(tmp_path)
    falcon = find_architecture(tmp_path)
    assert falcon.costs(2, falcon.shapes("attention"))["SHiRA"].trained == 4 * 2 * ((3 * 32 + 32) + (32 + 32))
    with pytest.raises(ShiraError, match=f"the activations of {tmp_path} cannot be counted without its weights"):
        falcon.costs(2, falcon.shapes("attention"), tokens=10)
