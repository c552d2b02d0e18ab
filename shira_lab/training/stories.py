"""The rows that a run trains on, in the order of its steps."""

from collections.abc import Iterator

from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from shira_lab.training.corpus import find_corpus
from shira_lab.training.data import Row, collate
from shira_lab.training.settings import Settings


class Stories(Dataset[Row]):
    """Token ids of steps x batch_size texts of the settings' world and seed; step s trains on the s-th batch."""

    def __init__(self, settings: Settings, tokenizer: PreTrainedTokenizerBase) -> None:
        self.settings, self.tokenizer = settings, tokenizer
        self.corpus = find_corpus(settings.world, tokenizer, settings.max_length)

    def __len__(self) -> int:
        return self.settings.steps * self.settings.batch_size

    def __getitem__(self, index: int) -> Row:
        return self.corpus.row(self.settings.seed, index)

    def collate(self, rows: list[Row]) -> dict[str, Tensor]:
        """A batch, padded as the tokenizer pads."""
        return collate(rows, self.tokenizer.pad_token_id)

    def samples(self, n: int) -> Iterator[dict[str, Tensor]]:
        """The first ``n`` texts, each as a batch of its own; more of them than a run trains on, if asked for."""
        for index in range(n):
            yield self.collate([self[index]])
