"""The README.md beside an adapter: its head is PEFT's, it says nothing that is not known, a user's words stay."""

from pathlib import Path
from typing import Any

import peft
import pytest
from huggingface_hub import ModelCard
from tiny import MLP, tiny_classifier, tiny_opt

import shira_lab
from shira_lab import LoraConfig, ShiraConfig, get_peft_model
from shira_lab.adapters.config import AdapterConfig

NAME = "some/model: a 'name'"
MLP_SHIRA = ShiraConfig(r=2, target_modules=["lin1"], random_seed=0)


def saved(config: AdapterConfig, folder: Path, **form: Any) -> str:
    get_peft_model(MLP(), config).save_pretrained(folder, **form)
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["ShiraConfig", "LoraConfig"])
@pytest.mark.parametrize("task_type", [None, "CAUSAL_LM"])
@pytest.mark.parametrize("name", [NAME, ""])
def test_its_head_says_what_pefts_says(
    kind: str, task_type: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *_: False)
    heads = []
    for library in (shira_lab, peft):
        config = getattr(library, kind)(r=2, target_modules=["q_proj"], task_type=task_type)
        library.get_peft_model(tiny_opt(name_or_path=name), config).save_pretrained(tmp_path / library.__name__)
        heads.append(ModelCard.load(tmp_path / library.__name__ / "README.md").data.to_dict())
    ours, theirs = heads
    tags = {tag for tag in [*ours.pop("tags"), *theirs.pop("tags")] if name or not tag.startswith("base_model")}
    of_base = {f"base_model:adapter:{name}"} if name else set()
    assert tags == {"transformers", kind.lower().removesuffix("config")} | of_base
    assert ours == {key: value for key, value in theirs.items() if value}


def test_it_says_what_was_trained_and_not_more(tmp_path: Path) -> None:
    config = ShiraConfig(r=3, mask_type="struct", base_model_name_or_path="some/model", task_type="SEQ_CLS")
    get_peft_model(tiny_classifier(), config).save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    for said in (
        "# SHiRA adapter for some/model\n",
        "- Target modules: those of its architecture\n",
        "- Trained in full beside them: score\n",
        "- r: 3, mask: struct\n",
        "On which data it was trained, how well it does, and what it is not for cannot be read from its files.",
    ):
        assert said in text
    text = saved(LoraConfig(r=2, lora_alpha=6, target_modules=["lin1", "lin0"]), tmp_path / "lora")
    assert "# LoRA adapter\n" in text and "- Target modules: lin0, lin1\n" in text and "- r: 2, lora_alpha: 6\n" in text
    assert "- Target modules: .*1\n" in saved(MLP_SHIRA.copy(target_modules=".*1"), tmp_path / "pattern")


def test_what_peft_does_not_read_is_not_said_to_be_pefts(tmp_path: Path) -> None:
    for compact, library in ((False, "peft"), (True, "shira_lab"), (False, "peft")):
        saved(MLP_SHIRA, tmp_path, compact=compact)
        assert ModelCard.load(tmp_path / "README.md").data.library_name == library


def test_it_follows_the_adapter_until_somebody_writes_into_it(tmp_path: Path) -> None:
    assert "- r: 2, " in saved(MLP_SHIRA, tmp_path)
    assert "- r: 3, " in saved(MLP_SHIRA.copy(r=3), tmp_path)
    with (tmp_path / "README.md").open("a", encoding="utf-8") as file:
        file.write("Trained on tales of the sea.\n")
    text = saved(MLP_SHIRA.copy(r=4), tmp_path)
    assert "- r: 3, " in text and text.endswith("Trained on tales of the sea.\n")


@pytest.mark.parametrize("content", [b"", b"mine", b"\xff\xfe", b"---\nlibrary_name: peft\n---\n"])
def test_a_readme_that_lies_there_stays(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(content)
    for r in (2, 3):
        get_peft_model(MLP(), MLP_SHIRA.copy(r=r)).save_pretrained(tmp_path)
        assert (tmp_path / "README.md").read_bytes() == content


def test_each_adapter_has_its_own(tmp_path: Path) -> None:
    model = get_peft_model(MLP(), MLP_SHIRA)
    model.add_adapter("second", MLP_SHIRA.copy(r=3))
    model.save_pretrained(tmp_path)
    for folder, r in ((tmp_path, 2), (tmp_path / "second", 3)):
        assert f"- r: {r}, " in (folder / "README.md").read_text(encoding="utf-8")
