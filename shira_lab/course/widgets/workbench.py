"""The model between runs: loaded once, bare before each, and compared bit for bit with what it was."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.targets import find_targets
from shira_lab.errors import AdapterError
from shira_lab.masks.positions import shape_of
from shira_lab.models.download import Progress
from shira_lab.models.hub import load_model
from shira_lab.training.corpus import find_corpus
from shira_lab.training.data import collate
from shira_lab.training.evaluate import rows_at_once, sample
from shira_lab.training.finetune import finetune
from shira_lab.training.finetuned import Finetuned
from shira_lab.training.history import History
from shira_lab.training.methods import adapter_config, adapter_parameters
from shira_lab.training.outlook import outlook
from shira_lab.training.probe import SAMPLE_SEED
from shira_lab.training.settings import Settings
from shira_lab.training.threads import threads_for

COMPARED_TEXTS = 4


class Workbench:
    """Runs one fine-tuning after another.

    Attributes:
        result: the last run's model and history; None before the first.
    """

    def __init__(self) -> None:
        self.result: Finetuned | None = None
        self._name = ""
        self._model: PreTrainedModel
        self._tokenizer: PreTrainedTokenizerBase
        self._logits_before: Tensor

    def prepare(self, name: str, on_progress: Progress | None = None) -> None:
        """Have the model of this name here, without an adapter; ``on_progress`` as for ``load_model``."""
        if self.result is not None and isinstance(self.result.model, PeftModel):
            self.result.model.unload()
        self.result = None
        if name != self._name:
            self._model, self._tokenizer = load_model(name, on_progress)
            self._name = name

    def needs(self, settings: Settings, on_progress: Progress) -> str:
        """Have the model here, and say in a sentence what a run will take.

        Raises:
            ShiraError: there is no such model, or not the memory for it.
        """
        self.prepare(settings.model, on_progress)
        with threads_for(self._model):
            return outlook(self._model, self._tokenizer, settings)

    def run(
        self, settings: Settings, on_event: Callable[[History], None], should_stop: Callable[[], bool]
    ) -> Finetuned:
        """Fine-tune as :func:`shira_lab.training.finetune.finetune` does, from the bare model."""
        self.prepare(settings.model)
        name, self._name = self._name, ""  # a run that fails half-way leaves a model that is not to be used again
        with threads_for(self._model):
            self._logits_before = self._logits(self._model, settings)
            self.result = finetune(self._model, self._tokenizer, settings, on_event, should_stop)
        self._name = name
        return self.result

    def parameters(self, settings: Settings) -> tuple[int, int] | None:
        """(trainable, all) parameters of a run with these settings, where their model is here and bare."""
        if settings.model != self._name or self.result is not None:
            return None
        total = sum(parameter.numel() for parameter in self._model.parameters())
        if settings.method == "full":
            return total, total
        shapes = map(shape_of, find_targets(self._model, adapter_config(settings)).values())
        return adapter_parameters(settings, shapes), total

    def text_before(self) -> tuple[str, bool]:
        """The text without what was learned, and whether it and all logits equal those from before the run."""
        result = self._finished()
        settings, text_before = result.history.settings, result.history.samples[0].text
        with result.before() as model:
            text = sample(model, result.tokenizer, prompt=settings.prompt, seed=SAMPLE_SEED)[0]
            same = torch.equal(self._logits(model, settings), self._logits_before)
        return text, same and text == text_before

    def save(self, folder: str | Path) -> int:
        """Write the result into the folder; returns the bytes that lie there now."""
        self._finished().save(folder)
        return sum(file.stat().st_size for file in Path(folder).iterdir() if file.is_file())

    def reload(self, folder: str | Path) -> bool:
        """Load what was saved onto a fresh model, and say whether its logits equal those of the result, bit for bit."""
        result = self._finished()
        settings = result.history.settings
        if isinstance(result.model, PeftModel):
            fresh = PeftModel.from_pretrained(load_model(settings.model)[0], folder)
        else:
            fresh = load_model(folder)[0]
        return torch.equal(self._logits(fresh, settings), self._logits(result.model, settings))

    def _finished(self) -> Finetuned:
        if self.result is None:
            raise AdapterError("There is no result yet: press Run and let it finish, or press Stop.")
        return self.result

    @torch.no_grad()
    def _logits(self, model: torch.nn.Module, settings: Settings) -> Tensor:
        held_out = find_corpus(settings.world, self._tokenizer, settings.max_length).held_out(COMPARED_TEXTS)
        rows = held_out.rows[: rows_at_once(self._model, held_out.rows)]
        batch = collate(rows, self._tokenizer.pad_token_id)
        logits: Tensor = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        return logits
