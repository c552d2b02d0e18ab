"""``shira-lab fuse`` and ``shira-lab inspect`` work on folders of saved adapters, and say what they cannot do."""

import re
from pathlib import Path

import pytest
import torch
from tiny import fill_randomly, tokens
from tiny_lm import save_tiny_lm

from shira_lab import LoraConfig, PeftModel, ShiraConfig
from shira_lab.cli import main
from shira_lab.models.hub import load_model

TARGETS = ["q_proj", "v_proj"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_lm(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def saved(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three adapters that name their base model, and one that does not."""
    bare = load_model(base)[0]
    bare.name_or_path = ""  # else each adapter would note it
    folder, model = tmp_path_factory.mktemp("adapters"), PeftModel(bare)
    named = {"target_modules": TARGETS, "base_model_name_or_path": str(base)}
    model.add_adapter("sea", ShiraConfig(2, random_seed=0, **named))
    model.add_adapter("same", ShiraConfig(2, random_seed=0, **named))
    model.add_adapter("apart", ShiraConfig(2, mask_type="magnitude", avoid=["sea"], **named))
    model.add_adapter("lora", LoraConfig(2, lora_alpha=4, **named))
    model.add_adapter("nameless", ShiraConfig(1, TARGETS, random_seed=0))
    model.add_adapter("elsewhere", ShiraConfig(1, ["fc1"], random_seed=0))
    fill_randomly(model).save_pretrained(folder)
    return folder


def rows(text: str) -> dict[str, list[str]]:
    """The cells of every line by the first one."""
    return {cells[0]: cells[1:] for cells in (re.split(r" {2,}", line) for line in text.splitlines()) if cells[0]}


def test_fuse_saves_the_weighted_sum(
    saved: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "both"
    command = ["fuse", str(saved / "sea"), str(saved / "apart"), "--weights", "1", "-0.7", "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out} = 1 * {saved / 'sea'} + -0.7 * {saved / 'apart'}  (linear, r=4)")
    fused = PeftModel.from_pretrained(load_model(base)[0], out)
    both = PeftModel.from_pretrained(load_model(base)[0], saved / "sea", "sea")
    both.load_adapter(saved / "apart", "apart")
    both.set_scale("apart", -0.7)
    both.set_adapter(["sea", "apart"])
    with torch.no_grad():
        torch.testing.assert_close(fused(tokens()).logits, both(tokens()).logits, rtol=1e-5, atol=1e-6)


def test_fuse_prunes_the_same_for_the_same_seed(saved: Path, tmp_path: Path) -> None:
    files = []
    for number, seed in enumerate("001"):
        out = tmp_path / str(number)
        dare = ["--type", "dare_ties", "--density", "0.5", "--seed", seed, "--out", str(out)]
        assert main(["fuse", str(saved / "sea"), str(saved / "apart"), *dare]) == 0
        files.append((out / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_inspect_shows_what_adapters_are(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(saved / "sea"), str(saved / "apart"), str(saved / "lora")]) == 0
    found = rows(capsys.readouterr().out)
    assert found["method"] == ["SHiRA, r=2", "SHiRA, r=2", "LoRA, r=2, lora_alpha=4"]
    assert found["mask"][:1] == ["random, seed 0"]
    assert found["layers"] == ["4", "4", "4"]
    assert found["trainable parameters"] == ["256", "256", "256"]
    assert found["density"] == ["25.00%"] * 3
    assert found["targets"] == ["q_proj v_proj"] * 3
    assert found["rank"][2] == "2.0 of 16" and float(found["rank"][0].split()[0]) > 8
    assert float(found["effective rank"][0]) > float(found["effective rank"][2])
    layers, shared, share, expected, cosine, *_ = found[f"{saved / 'sea'} and {saved / 'apart'}"]
    assert (layers, shared, share, expected, cosine) == ("4", "0", "0.00%", "25.00%", "0.0000")


def test_inspect_shows_that_one_seed_shares_every_entry(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(saved / "sea"), str(saved / "same")]) == 0
    found = rows(capsys.readouterr().out)[f"{saved / 'sea'} and {saved / 'same'}"]
    assert found[:4] == ["4", "256", "100.00%", "25.00%"]


def test_adapters_of_different_layers_share_nothing(
    saved: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(saved / "nameless"), str(saved / "elsewhere"), "--model", str(base)]) == 0
    assert rows(capsys.readouterr().out)[f"{saved / 'nameless'} and {saved / 'elsewhere'}"] == ["0", *"-------"]


def test_what_cannot_be_done_is_one_sentence(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refusal(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        return err

    assert "whose shapes its positions need: give --model" in refusal("inspect", saved / "nameless")
    assert "adapter_config.json" in refusal("inspect", tmp_path)
    out = ["--out", tmp_path / "out"]
    assert "is a LoRA adapter" in refusal("fuse", saved / "sea", saved / "lora", *out)
    assert "got 2 adapters and 1 weights" in refusal("fuse", saved / "sea", saved / "same", *out, "--weights", "1")
    assert "`density` should be in (0, 1]" in refusal("fuse", saved / "sea", *out, "--type", "ties")
    assert not (tmp_path / "out").exists()
    assert "holds a result already (adapter_config.json)" in refusal("fuse", saved / "sea", "--out", saved / "same")
