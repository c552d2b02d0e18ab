"""What a language model is measured by: its loss against the floor, and the texts it generates.

The floor is the entropy that the grammar booked for the very same stories, so what is left above it is what
the model has yet to learn. Any causal language model will do, adapted or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.training.data import IGNORED, Row, batches, encode
from shira_lab.training.worlds import Story

MOST_ROWS = 32
#: Of a batch's logits; a large vocabulary leaves room for few rows, whatever the model.
LOGITS_BYTES = 20 << 20


@dataclass(frozen=True)
class StoryLoss:
    """Held-out loss of a model on stories.

    Attributes:
        loss: mean -log q(token) of the model, in nats per predicted token; the end of a story is predicted too.
        floor: booked nats of the same stories per predicted token: what a perfect model would reach on average.
        tokens: how many tokens were predicted.
        stories: how many stories were read.
    """

    loss: float
    floor: float
    tokens: int
    stories: int

    @property
    def excess(self) -> float:
        """loss - floor, in nats per token."""
        return self.loss - self.floor


def row_loss(
    model: PreTrainedModel, rows: Sequence[Row], pad_token_id: int, batch_size: int | None = None
) -> tuple[float, int]:
    """The mean loss of `model` on `rows` in nats per predicted token, and the number of predicted tokens."""
    nats, tokens = 0.0, 0
    with _evaluating(model):
        for batch in batches(rows, batch_size or rows_at_once(model, rows), pad_token_id):
            here = {name: tensor.to(model.device) for name, tensor in batch.items()}
            predicted = int((batch["labels"][:, 1:] != IGNORED).sum())  # nothing predicts the first token
            nats += model(**here, use_cache=False).loss.item() * predicted
            tokens += predicted
    return nats / tokens, tokens


def rows_at_once(model: PreTrainedModel, rows: Sequence[Row]) -> int:
    """How many rows make an evaluation's batch."""
    longest = max(len(row["input_ids"]) for row in rows)
    return max(1, min(MOST_ROWS, LOGITS_BYTES // (4 * longest * model.config.vocab_size)))


def text_loss(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], batch_size: int | None = None
) -> tuple[float, int]:
    """:func:`row_loss` of texts."""
    return row_loss(model, encode(tokenizer, texts), tokenizer.pad_token_id, batch_size)


def story_loss(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stories: Sequence[Story], batch_size: int | None = None
) -> StoryLoss:
    """The loss of `model` on `stories` beside their floor.

    The two compare exactly where a story's first token is a bos token, since the floor has to pay for all the
    words.
    """
    loss, tokens = text_loss(model, tokenizer, [story.text for story in stories], batch_size)
    floor = sum(story.nats for story in stories) / tokens
    return StoryLoss(loss, floor, tokens, len(stories))


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    n: int = 1,
    *,
    prompt: str = "Once there was",
    temperature: float = 1.0,
    seed: int = 0,
    max_new_tokens: int = 160,
    batch_size: int = 50,
) -> list[str]:
    """`n` texts that `model` generates, each beginning with `prompt`; the same seed gives the same texts.

    Draws from the model's own distribution at the given temperature, without top-k or top-p; temperature 0
    always takes the likeliest token. The global random state is left as it was.
    """
    manner = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    texts: list[str] = []
    with _evaluating(model), torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, n, batch_size):
            rows = [prompt] * min(batch_size, n - start)
            tokens = model.generate(
                **tokenizer(rows, return_tensors="pt").to(model.device),
                max_new_tokens=max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
                **(manner if temperature > 0 else {"do_sample": False}),
            )
            texts += tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return texts


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout or gradients; the model's mode comes back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
