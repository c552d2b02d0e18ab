"""Adapters on a pretrained Llama that nobody here wrote, where its package is installed: all 210 linear layers."""

import copy
import zlib
from collections.abc import Iterator
from pathlib import Path

import peft
import pytest
import torch
from tiny import fill_randomly, layers
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.adapters.config import AdapterConfig
from shira_lab.errors import MissingExtra
from shira_lab.models.hub import is_here, load_model

NAME = "smollm2-135m"
LAYERS = 30 * 7
SHIRA = ShiraConfig(r=8, target_modules="all-linear", random_seed=0)
LORA = LoraConfig(r=8, target_modules="all-linear")


def why_not() -> str:
    """Why its weights cannot be had here; empty where they can."""
    try:
        is_here(NAME)
    except MissingExtra as missing:
        return str(missing)
    return ""


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
both = pytest.mark.parametrize("config", [SHIRA, LORA], ids=["shira", "lora"])
Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load_model(NAME)


@pytest.fixture
def base(loaded: Loaded) -> Iterator[PreTrainedModel]:
    """The model as it was loaded, which it has to be after the test, too."""
    before = bits(loaded[0])
    yield loaded[0]
    assert bits(loaded[0]) == before


def bits(model: nn.Module) -> dict[str, int]:
    """A checksum of each parameter's bits."""
    return {name: zlib.crc32(p.detach().view(torch.uint8).numpy()) for name, p in model.named_parameters()}


def given(loaded: Loaded) -> Tensor:
    return loaded[1]("The capital of France is", return_tensors="pt").input_ids


@torch.no_grad()
def logits(model: nn.Module, tokens: Tensor) -> Tensor:
    return model(input_ids=tokens).logits


def changed(base: PreTrainedModel, config: AdapterConfig, size: float = 0.02) -> PeftModel:
    return fill_randomly(get_peft_model(base, config), size=size)


@torch.no_grad()
def outputs(base: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """What each linear layer of the blocks gives, by its path; for a layer with adapters, what it gives with them."""
    seen: dict[str, Tensor] = {}
    paths = [path for path, _ in base.named_modules() if path.endswith("_proj")]
    hooks = [
        base.get_submodule(path).register_forward_hook(lambda _, __, y, path=path: seen.update({path: y}))
        for path in paths
    ]
    base(input_ids=tokens)
    for hook in hooks:
        hook.remove()
    return seen


@both
def test_switched_off_each_layer_gives_what_it_gave_bit_for_bit(
    loaded: Loaded, base: PreTrainedModel, config: AdapterConfig
) -> None:
    tokens = given(loaded)
    expected = outputs(base, tokens)
    assert len(expected) == LAYERS
    model = changed(base, config)
    assert len(layers(model)) == LAYERS
    with_it = outputs(model.get_base_model(), tokens)
    assert not any(torch.equal(with_it[path], y) for path, y in expected.items())
    with model.disable_adapter():
        without = outputs(model.get_base_model(), tokens)
    assert all(torch.equal(without[path], y) for path, y in expected.items())
    assert model.unload() is base


@both
def test_a_saved_adapter_gives_the_same_here_and_nearly_the_same_in_peft(
    loaded: Loaded, base: PreTrainedModel, config: AdapterConfig, tmp_path: Path
) -> None:
    tokens = given(loaded)
    model = changed(base, config)
    expected = logits(model, tokens)
    model.save_pretrained(tmp_path)
    model.unload()
    again = PeftModel.from_pretrained(base, tmp_path)
    assert torch.equal(logits(again, tokens), expected)
    again.unload()
    theirs = peft.PeftModel.from_pretrained(base, tmp_path)
    torch.testing.assert_close(logits(theirs, tokens), expected, atol=1e-4, rtol=0)
    theirs.unload()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_merging_and_back_restores_every_bit(loaded: Loaded, base: PreTrainedModel, dtype: torch.dtype) -> None:
    tokens = given(loaded)
    ours = base if dtype == torch.float32 else copy.deepcopy(base).to(dtype)
    before, expected = bits(ours), logits(ours, tokens)
    model = changed(ours, SHIRA)
    model.merge_adapter()
    assert not torch.equal(logits(model, tokens), expected)
    model.unmerge_adapter()
    model.unload()
    assert bits(ours) == before and torch.equal(logits(ours, tokens), expected)


@both
def test_it_generates_with_the_adapter_and_without_it(
    loaded: Loaded, base: PreTrainedModel, config: AdapterConfig
) -> None:
    tokens = given(loaded)

    def text(model: nn.Module) -> str:
        ids = model.generate(
            input_ids=tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=8, do_sample=False
        )
        return loaded[1].decode(ids[0])

    expected = text(base)
    assert "Paris" in expected
    model = changed(base, config, size=0.5)
    assert text(model) != expected
    with model.disable_adapter():
        assert text(model) == expected
    model.unload()


def test_the_head_stays_tied_to_the_embeddings(base: PreTrainedModel) -> None:
    def tied() -> bool:
        return base.get_output_embeddings().weight is base.get_input_embeddings().weight

    assert tied()
    model = changed(base, SHIRA)
    assert tied()
    model.merge_adapter()
    assert tied()
    model.unmerge_adapter()
    model.unload()
    assert tied()
