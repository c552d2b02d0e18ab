"""What docs/coming-from-peft.md says of PEFT is what PEFT does here."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers as hf
from links import ROOT
from peft.tuners.shira import ShiraModel
from safetensors.torch import load_file, save_file
from tiny import mlp, run, tiny_opt, tokens
from torch import nn

import shira_lab
from shira_lab.adapters.tuner import AdapterModel

PAGE = (ROOT / "docs" / "coming-from-peft.md").read_text(encoding="utf-8")
CONFIG = shira_lab.ShiraConfig(r=1, target_modules=["lin0"])
pytestmark = pytest.mark.filterwarnings("ignore")


def theirs(model: nn.Module, **changes: Any) -> Any:
    """The model with a SHiRA adapter of PEFT's, its values drawn."""
    config = {"r": 1, "target_modules": ["lin0"], "random_seed": 0, "init_weights": False}
    return peft.get_peft_model(model, peft.ShiraConfig(**config | changes)).eval()


def named(beginning: str) -> set[str]:
    """The names in the list of the page that begins so."""
    [paragraph] = [part for part in PAGE.split("\n\n") if part.startswith(beginning)]
    return set(re.findall(r"`(\w+)`", paragraph.partition(":")[2]))


def test_the_page_lists_the_methods_that_are_missing() -> None:
    here = {*dir(shira_lab.PeftModel), *dir(AdapterModel), *vars(shira_lab.get_peft_model(mlp(), CONFIG).base_model)}
    there = {name for kind in (peft.PeftModel, ShiraModel) for name in dir(kind) if not name.startswith("_")}
    assert named("Methods of PEFT's models") == there - here - set(dir(nn.Module))


def test_the_page_lists_the_fields_that_are_missing() -> None:
    here, there = ({field.name for field in dataclasses.fields(of.LoraConfig)} for of in (shira_lab, peft))
    assert named("Fields of PEFT's `LoraConfig`") == there - here - {"peft_type", "peft_version"}


def test_hooks_on_the_base_layer_are_not_called() -> None:
    model, calls = theirs(mlp()), list[int]()
    model.base_model.model.lin0.base_layer.register_forward_hook(lambda *_: calls.append(1))
    run(model)
    assert not calls


def test_merging_changes_both_who_have_one_weight() -> None:
    base = tiny_opt(tie_word_embeddings=True)
    model = theirs(base, target_modules=["lm_head"])
    before = base.get_input_embeddings().weight.clone()
    model.merge_adapter()
    assert not torch.equal(base.get_input_embeddings().weight, before)


def test_names_that_match_nothing_are_passed_over(recwarn: pytest.WarningsRecorder) -> None:
    theirs(mlp(), target_modules=["lin0", "lin9"], modules_to_save=["lin9"])
    assert not [warning for warning in recwarn if "lin9" in str(warning.message)]


def test_a_mask_of_the_wrong_size_is_an_error_without_sizes() -> None:
    config = peft.ShiraConfig(r=1, target_modules=["lin0"], mask_type="own")
    config.mask_fn = lambda base_layer, r, **_: torch.eye(*base_layer.weight.shape)
    with pytest.raises(ValueError, match="not the same dimensions for adapter default in layer"):
        peft.get_peft_model(mlp(), config)


def test_a_mask_type_without_a_function_fails_at_the_first_forward_pass() -> None:
    with pytest.raises(KeyError, match="default"):
        run(theirs(mlp(), mask_type="own"))


def test_a_file_with_positions_outside_the_weight_loads(tmp_path: Path) -> None:
    theirs(mlp()).save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors["base_model.model.lin0.shira_indices"][0, 0] = 1000
    save_file(tensors, file)
    assert peft.PeftModel.from_pretrained(mlp(), tmp_path)


def test_the_adapters_of_samples_are_ignored() -> None:
    model = theirs(tiny_opt(), target_modules=["q_proj"])
    model.add_adapter("second", peft.ShiraConfig(r=1, target_modules=["q_proj"], random_seed=1, init_weights=False))
    mixed = model(tokens(), adapter_names=["default", "second"]).logits
    assert torch.equal(mixed, model(tokens()).logits)


def test_a_conv1d_is_refused() -> None:
    model = hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=32))
    with pytest.raises(TypeError, match=r"Conv1D.* is not supported"):
        theirs(model, target_modules=["c_attn"])
