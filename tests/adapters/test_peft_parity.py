"""One adapter file gives the same numbers in PEFT and here, in both directions."""

from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from tiny import adapted, fill_randomly, layers, tiny_classifier, tiny_opt, tokens
from torch import Tensor, nn

import shira_lab

TARGETS = ["q_proj", "v_proj", "fc1"]
KINDS = {
    "SHiRA": ("ShiraConfig", {"r": 2, "target_modules": TARGETS, "random_seed": 7}),
    "LoRA": ("LoraConfig", {"r": 2, "lora_alpha": 6, "target_modules": TARGETS}),
    "rsLoRA by layer": (
        "LoraConfig",
        {"r": 2, "lora_alpha": 6, "use_rslora": True, "rank_pattern": {"q_proj": 3}, "target_modules": TARGETS},
    ),
}
MODELS: dict[str, tuple[Callable[[], nn.Module], dict[str, list[str]]]] = {
    "language model": (tiny_opt, {}),
    "classifier with its head": (tiny_classifier, {"modules_to_save": ["score"]}),
}


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(tokens()).logits


def config(library: object, kind: str, model: str) -> object:
    name, fields = KINDS[kind]
    return getattr(library, name)(**fields, **MODELS[model][1])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_we_save_peft_loads(kind: str, model: str, tmp_path: Path) -> None:
    make = MODELS[model][0]
    ours = adapted(make(), config(shira_lab, kind, model))
    if model != "language model":
        ours.base_model.model.score.modules_to_save["default"].weight.data.mul_(2)
    assert not torch.allclose(logits(ours), logits(make()), atol=1e-3)
    ours.save_pretrained(tmp_path)
    theirs = peft.PeftModel.from_pretrained(make(), tmp_path)
    torch.testing.assert_close(logits(theirs), logits(ours), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_peft_saves_we_load(kind: str, model: str, tmp_path: Path) -> None:
    make = MODELS[model][0]
    theirs = peft.get_peft_model(make(), config(peft, kind, model))
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
    assert not torch.allclose(logits(theirs), logits(make()), atol=1e-3)
    theirs.save_pretrained(tmp_path)
    ours = shira_lab.PeftModel.from_pretrained(make(), tmp_path)
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-5, atol=1e-6)


def test_a_seed_gives_the_whole_model_pefts_masks() -> None:
    name, fields = KINDS["SHiRA"]
    ours = shira_lab.get_peft_model(tiny_opt(), shira_lab.ShiraConfig(**fields))
    theirs = peft.get_peft_model(tiny_opt(), peft.ShiraConfig(**fields))
    found = {
        path.removeprefix("base_model.model."): module.shira_indices["default"]
        for path, module in theirs.named_modules()
        if hasattr(module, "shira_indices")
    }
    for path, layer in ours.base_model.adapter_layers():
        indices = found.pop(path)
        rows_then_columns = (indices[0].long() * layer.weight.shape[1] + indices[1]).argsort()
        assert torch.equal(layer.shira_indices["default"], indices[:, rows_then_columns].to(torch.int32))
    assert not found and name == "ShiraConfig"


def test_a_training_step_moves_the_values_as_peft_does() -> None:
    def step(model: nn.Module) -> list[Tensor]:
        values = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(values, lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            model(input_ids=tokens(), labels=tokens()).loss.backward()
            optimizer.step()
        return [value.detach() for value in values]

    fields = KINDS["SHiRA"][1]
    ours = step(shira_lab.get_peft_model(tiny_opt().double(), shira_lab.ShiraConfig(**fields)))
    theirs = step(peft.get_peft_model(tiny_opt().double(), peft.ShiraConfig(**fields)))
    assert len(ours) == len(theirs) == 6
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-3, atol=1e-5)


def test_lora_with_equal_factors_gives_equal_outputs() -> None:
    fields = KINDS["LoRA"][1]
    ours = fill_randomly(shira_lab.get_peft_model(tiny_opt(), shira_lab.LoraConfig(**fields)))
    theirs = peft.get_peft_model(tiny_opt(), peft.LoraConfig(**fields))
    for (path, layer), mine in zip(ours.base_model.adapter_layers(), layers(ours), strict=True):
        twin = theirs.base_model.model.get_submodule(path)
        twin.lora_A["default"].weight.data.copy_(mine.lora_A["default"].weight)
        twin.lora_B["default"].weight.data.copy_(layer.lora_B["default"].weight)
        torch.testing.assert_close(layer.get_delta_weight("default"), twin.get_delta_weight("default"))
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-5, atol=1e-6)
