"""The head of a classifier is new, so it trains and is saved with the adapter without being named, as in PEFT."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers as hf
from tiny import tiny_classifier, tokens
from torch import Tensor, nn

import shira_lab
from shira_lab import ShiraConfig, TaskType, get_peft_model
from shira_lab.layers.modules_to_save import ModulesToSaveWrapper

SIZES = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}


def bert(model: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(0)
        built: nn.Module = getattr(hf, model)(hf.BertConfig(**SIZES, max_position_embeddings=32)).eval()
        return built

    return make


MODELS: dict[str, tuple[TaskType, str, Callable[[], nn.Module]]] = {
    "score": (TaskType.SEQ_CLS, "score", tiny_classifier),
    "classifier": (TaskType.SEQ_CLS, "classifier", bert("BertForSequenceClassification")),
    "token classifier": (TaskType.TOKEN_CLS, "classifier", bert("BertForTokenClassification")),
    "answers": (TaskType.QUESTION_ANS, "qa_outputs", bert("BertForQuestionAnswering")),
}
every_model = pytest.mark.parametrize("name", MODELS)


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        output: Tensor = model.eval()(input_ids=tokens())[0]
        return output


def trained(library: Any, name: str, **fields: object) -> Any:
    task, head, make = MODELS[name]
    model = library.get_peft_model(make(), library.ShiraConfig(r=1, random_seed=0, task_type=task, **fields))
    with torch.no_grad():
        for parameter in getattr(model.get_base_model(), head).parameters():
            if parameter.requires_grad:
                parameter.mul_(2)
    return model


@every_model
def test_the_head_trains_as_it_does_in_peft(name: str) -> None:
    def trains(library: Any) -> set[str]:
        return {n for n, p in trained(library, name).named_parameters() if p.requires_grad and "shira" not in n}

    assert trains(shira_lab) == trains(peft) != set()


@every_model
def test_what_is_saved_with_its_head_loads_in_peft_and_back(name: str, tmp_path: Path) -> None:
    make = MODELS[name][2]
    ours = trained(shira_lab, name)
    assert not torch.allclose(logits(ours), logits(make()))
    ours.save_pretrained(tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(make(), tmp_path / "ours")
    torch.testing.assert_close(logits(theirs), logits(ours))
    theirs.save_pretrained(tmp_path / "theirs")
    back = shira_lab.PeftModel.from_pretrained(make(), tmp_path / "theirs")
    assert torch.equal(logits(back), logits(ours))


@every_model
def test_what_peft_saves_with_every_name_of_a_head_loads_here(name: str, tmp_path: Path) -> None:
    make = MODELS[name][2]
    theirs = trained(peft, name, init_weights=False)
    theirs.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(shira_lab.PeftModel.from_pretrained(make(), tmp_path)), logits(theirs))


def test_the_head_is_recorded_and_is_no_target() -> None:
    config = ShiraConfig(r=1, task_type="SEQ_CLS", target_modules="all-linear", modules_to_save=["pooler"])
    model = get_peft_model(MODELS["classifier"][2](), config)
    assert model.peft_config["default"].modules_to_save == ["pooler", "classifier"]
    assert config.modules_to_save == ["pooler"]
    assert isinstance(model.get_base_model().classifier, ModulesToSaveWrapper)


def test_without_a_task_type_the_head_stays_frozen() -> None:
    model = get_peft_model(tiny_classifier(), ShiraConfig(r=1))
    assert not model.get_base_model().score.weight.requires_grad
    assert model.peft_config["default"].modules_to_save is None
