"""transformers' Trainer trains adapted models with its default arguments, and ours writes adapters as checkpoints."""

import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import BertConfig, BertForQuestionAnswering, TrainingArguments

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.adapters.config import AdapterConfig
from shira_lab.training.trainer import Trainer
from tests.tiny import tiny_classifier, tiny_opt


def answerer() -> nn.Module:
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    return BertForQuestionAnswering(BertConfig(**sizes, num_hidden_layers=1, max_position_embeddings=32))


#: By task: the model, a target of it, and the labels of a row.
MODELS: dict[str, Any] = {
    "CAUSAL_LM": (lambda: tiny_opt(tie_word_embeddings=False), "q_proj", {"labels": torch.arange(3, 11)}),
    "SEQ_CLS": (tiny_classifier, "q_proj", {"labels": torch.tensor(1)}),
    "QUESTION_ANS": (answerer, "query", {"start_positions": torch.tensor(1), "end_positions": torch.tensor(2)}),
}
every_model = pytest.mark.parametrize("task", MODELS)
every_kind = pytest.mark.parametrize("kind", [ShiraConfig, LoraConfig])


def adapted(task: str, kind: type[AdapterConfig] = ShiraConfig) -> PeftModel:
    model, target, _ = MODELS[task]
    return get_peft_model(model(), kind(r=2, target_modules=[target], task_type=task))


def rows(task: str) -> list[dict[str, Tensor]]:
    labels = MODELS[task][2]
    return [{"input_ids": torch.arange(3, 11) + i, "a_column_of_no_use": torch.tensor(i), **labels} for i in range(8)]


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    steps = {"max_steps": 4, "save_steps": 2, "eval_steps": 2, "eval_strategy": "steps", "learning_rate": 1e-2}
    quiet = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "logging_steps": 1}
    return TrainingArguments(output_dir=str(folder), **{**steps, **quiet, **changes})


def trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters() if parameter.requires_grad}


@every_kind
@every_model
def test_transformers_own_trainer_trains_evaluates_and_keeps_the_best(
    task: str, kind: type[AdapterConfig], tmp_path: Path
) -> None:
    model = adapted(task, kind)
    before = trained(model)
    args = arguments(tmp_path, load_best_model_at_end=True, save_strategy="steps")
    trainer = transformers.Trainer(model, args, train_dataset=rows(task), eval_dataset=rows(task))
    trainer.train()
    assert any(not torch.equal(before[name], value) for name, value in trained(model).items())
    assert trainer.evaluate()["eval_loss"] == pytest.approx(trainer.state.best_metric, rel=1e-4)


@every_kind
@every_model
def test_a_checkpoint_of_our_trainer_is_the_adapter_and_a_run_resumes_from_it(
    task: str, kind: type[AdapterConfig], tmp_path: Path
) -> None:
    whole = adapted(task, kind)
    Trainer(whole, arguments(tmp_path), train_dataset=rows(task), eval_dataset=rows(task)).train()
    files = {path.name for path in (tmp_path / "checkpoint-2").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files
    assert not {"model.safetensors", "pytorch_model.bin"} & files
    resumed = adapted(task, kind)  # a mask at other positions, until the checkpoint is read
    trainer = Trainer(resumed, arguments(tmp_path), train_dataset=rows(task), eval_dataset=rows(task))
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for name, value in trained(whole).items():
        torch.testing.assert_close(trained(resumed)[name], value)
    x = rows(task)[0]["input_ids"][None]
    torch.testing.assert_close(resumed.eval()(x)[0], whole.eval()(x)[0])


@every_kind
def test_transformers_own_trainer_resumes_from_its_whole_checkpoint(kind: type[AdapterConfig], tmp_path: Path) -> None:
    task = "CAUSAL_LM"
    whole = adapted(task, kind)
    transformers.Trainer(whole, arguments(tmp_path), train_dataset=rows(task), eval_dataset=rows(task)).train()
    resumed = adapted(task, kind)  # a mask at other positions, until the checkpoint is read
    trainer = transformers.Trainer(resumed, arguments(tmp_path), train_dataset=rows(task), eval_dataset=rows(task))
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value)
    x = rows(task)[0]["input_ids"][None]
    torch.testing.assert_close(resumed.eval()(x)[0], whole.eval()(x)[0])


def test_our_trainer_ends_with_the_best_adapter_when_asked(tmp_path: Path) -> None:
    args = arguments(tmp_path, load_best_model_at_end=True, save_strategy="steps", learning_rate=5.0)
    trainer = Trainer(adapted("CAUSAL_LM"), args, train_dataset=rows("CAUSAL_LM"), eval_dataset=rows("CAUSAL_LM"))
    trainer.train()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(trainer.state.best_metric, rel=1e-4)


@every_model
def test_an_adapted_model_can_be_copied_and_pickled_and_prints_as_peft_model(task: str) -> None:
    model = adapted(task).eval()
    assert repr(model).startswith("PeftModel(")
    x = rows(task)[0]["input_ids"][None]
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert type(other) is type(model)
        torch.testing.assert_close(other(x)[0], model(x)[0])
