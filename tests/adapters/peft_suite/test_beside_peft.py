"""On every family of architecture, an adapter of PEFT's and ours are one: names, files, outputs, in both directions."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file
from test_architectures import MODELS, base, run
from torch import nn

import shira_lab

LIBRARIES = (shira_lab, peft)
WEIGHTS = "adapter_model.safetensors"
KINDS = ("LoraConfig", "ShiraConfig")
CASES = [(name, kind) for name in MODELS for kind in KINDS]
CASES.remove(("gpt2", "ShiraConfig"))  # PEFT's SHiRA does not know GPT-2's Conv1D
every_case = pytest.mark.parametrize("name, kind", CASES)


def adapted(library: Any, name: str, kind: str) -> Any:
    """The model with an adapter on the default targets of its architecture, its values the same in both libraries."""
    seed = {"random_seed": 0} if kind == "ShiraConfig" else {"fan_in_fan_out": name == "gpt2"}
    task = {"task_type": "SEQ_CLS"} if name == "bert" else {}
    model = library.get_peft_model(base(name), getattr(library, kind)(r=2, **seed, **task)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.linspace(-0.5, 0.5, parameter.numel()).view(parameter.shape))
    return model


@every_case
def test_what_one_saves_the_other_loads(name: str, kind: str, tmp_path: Path) -> None:
    plain = run(base(name), name)
    for writer, reader in (LIBRARIES, LIBRARIES[::-1]):
        folder = tmp_path / writer.__name__
        model = adapted(writer, name, kind)
        expected = run(model, name)
        assert not torch.allclose(expected, plain, atol=1e-3)
        model.save_pretrained(folder)
        back = reader.PeftModel.from_pretrained(base(name), folder)
        torch.testing.assert_close(run(back.eval(), name), expected, rtol=1e-4, atol=1e-5)
        assert (folder / "README.md").is_file()


@every_case
def test_files_have_the_same_names_and_shapes(name: str, kind: str, tmp_path: Path) -> None:
    found = []
    for library in LIBRARIES:
        adapted(library, name, kind).save_pretrained(tmp_path / library.__name__)
        tensors = load_file(tmp_path / library.__name__ / WEIGHTS)
        found.append({key: tuple(value.shape) for key, value in tensors.items()})
    assert found[0] == found[1]
    ours, theirs = (vars(peft.PeftConfig.from_pretrained(tmp_path / library.__name__)) for library in LIBRARIES)
    found_there = {"target_modules", "modules_to_save"}  # PEFT notes what it found for the architecture
    for field in theirs.keys() - found_there:
        assert ours[field] == theirs[field], field


@every_case
def test_the_same_parameters_train(name: str, kind: str) -> None:
    def counts(model: nn.Module) -> list[tuple[int, ...]]:
        return sorted(tuple(p.shape) for p in model.parameters() if p.requires_grad)

    ours, theirs = (adapted(library, name, kind) for library in LIBRARIES)
    assert counts(ours) == counts(theirs)
    assert ours.get_nb_trainable_parameters() == theirs.get_nb_trainable_parameters()
    if kind == "LoraConfig":
        assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
        assert ours.state_dict().keys() == theirs.state_dict().keys()


@every_case
def test_merged_for_good_the_outputs_agree(name: str, kind: str) -> None:
    merged = [run(adapted(library, name, kind).merge_and_unload(), name) for library in LIBRARIES]
    torch.testing.assert_close(*merged, rtol=1e-4, atol=1e-5)
