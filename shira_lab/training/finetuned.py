"""A fine-tuned model: what it generates now, what it generated before, and how to keep it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.adapters.model import PeftModel
from shira_lab.training.checkpoints import HISTORY_NAME
from shira_lab.training.evaluate import sample
from shira_lab.training.history import History
from shira_lab.training.methods import Trainable


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned model and how it came about.

    Attributes:
        model: the model with the adapter active, or for "full" a copy with other weights.
        base: the model that came in; an adapter's layers are in it.
        history: the run.
    """

    model: Trainable
    base: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    history: History

    @contextmanager
    def before(self) -> Iterator[Trainable]:
        """Inside, the model as it was before training, bit for bit: the adapter is off, or the original is used."""
        if isinstance(self.model, PeftModel):
            with self.model.disable_adapter():
                yield self.model
        else:
            yield self.base

    def before_and_after(self, prompt: str | None = None, seed: int = 0, temperature: float = 1.0) -> tuple[str, str]:
        """Two texts with the same prompt and seed: the model's before training, and its text now."""
        settings = self.history.settings
        generate = partial(
            sample,
            tokenizer=self.tokenizer,
            prompt=settings.prompt if prompt is None else prompt,
            temperature=temperature,
            seed=seed,
            max_new_tokens=settings.sample_tokens,
        )
        with self.before() as base:
            before = generate(base)[0]
        return before, generate(self.model)[0]

    def save(self, folder: str | Path) -> None:
        """Write the adapter (PEFT's layout) or the whole model with its tokenizer, and ``history.json``.

        Raises:
            StorageError: when it cannot be written.
        """
        folder = Path(folder)
        self.model.save_pretrained(folder)
        if not isinstance(self.model, PeftModel):
            self.tokenizer.save_pretrained(folder)
        self.history.save(folder / HISTORY_NAME)
