"""The other ways are methods of a run: trained, saved, forecast and described as the rest (test_finetune: resumed)."""

import dataclasses
from pathlib import Path

import pytest
import torch
from test_finetune import SHORT, run
from tiny import same_bits, snapshot
from tiny_lm import save_tiny_lm, tiny_lm, tokenizer

from shira_lab import PeftModel
from shira_lab.cli import main
from shira_lab.masks.positions import shape_of
from shira_lab.training.forecast import forecast
from shira_lab.training.methods import (
    LARGE_LEARNING_RATES,
    LEARNING_RATES,
    adapter_parameters,
    hyperparameters,
    suitable_learning_rate,
)
from shira_lab.training.settings import METHOD_NAMES, Settings, methods
from shira_lab.training.summary import summary
from shira_lab.training.ways import WAYS

every_way = pytest.mark.parametrize("name", WAYS)
IDS = torch.tensor([[2, 5, 9, 11]])


@every_way
def test_a_way_trains_and_comes_back_from_its_folder_and_out_of_the_model(name: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(SHORT, method=name, steps=2, learning_rate=0.1)
    model = tiny_lm()
    weights = snapshot(model)
    tuned = run(settings, model, output_dir=tmp_path)
    assert tuned.history.status == "finished" and tuned.history.evals[-1].loss != tuned.history.evals[0].loss
    shapes = [shape_of(layer.base_layer) for _, layer in tuned.model.base_model.adapter_layers()]
    assert tuned.history.trainable == adapter_parameters(settings, shapes)
    fresh = PeftModel.from_pretrained(tiny_lm(), tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(fresh(IDS).logits, tuned.model(IDS).logits)
    assert same_bits(snapshot(tuned.model.unload()), weights)


def test_a_run_says_what_it_trains() -> None:
    settings = Settings(method="dora", learning_rate=0.1)
    assert settings.label == "DoRA, r=8"
    assert hyperparameters(settings) == (
        "scaling 1, A starts Kaiming-uniform, B at zero and the lengths as they are, learning rate 0.1"
    )
    history = run(dataclasses.replace(SHORT, method="dora", steps=1)).history
    assert dict(summary(history, 0))["budget"] == "r(m + n) + m numbers for an (m, n) weight, r = 2"


def test_the_names_of_methods_are_those_of_the_package_and_of_the_ways() -> None:
    assert methods() == METHOD_NAMES | {name: way.kind for name, way in WAYS.items()}
    assert len(set(methods().values())) == len(methods())


@every_way
def test_a_way_has_a_rate_of_its_own_on_the_embedded_model_and_its_kins_on_large_ones(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, way = tiny_lm(), WAYS[name]
    assert suitable_learning_rate(name, model) == way.learning_rate
    monkeypatch.setattr("shira_lab.training.methods.SMALL", 1)
    monkeypatch.setattr("shira_lab.training.methods.LARGE", 2)
    assert suitable_learning_rate(name, model) == LARGE_LEARNING_RATES[way.kin]
    assert way.kin in LEARNING_RATES


def test_dense_updates_are_counted() -> None:
    plain, way = (
        forecast(tiny_lm(), tokenizer(), dataclasses.replace(SHORT, method=name)) for name in ("lora", "hira")
    )
    assert plain is not None and way is not None
    assert set(way.parts) - set(plain.parts) == {"dense updates"}


def test_the_command_reads_what_a_way_has_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = save_tiny_lm(tmp_path / "base")
    run(dataclasses.replace(SHORT, method="haar", steps=1), output_dir=tmp_path / "waves")
    assert main(["inspect", str(tmp_path / "waves"), "--model", str(base)]) == 0
    assert "WaveFT, r=2" in capsys.readouterr().out
