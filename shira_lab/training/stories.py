"""The stories that a run trains on: told when they are asked for, in the order of the steps, none of them twice."""

from collections.abc import Iterator

from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from shira_lab.training.data import Row, collate, encode
from shira_lab.training.history import Settings
from shira_lab.worlds import get_world


class Stories(Dataset[Row]):
    """Token ids of steps x batch_size stories of the settings' world and seed; step s trains on the s-th batch."""

    def __init__(self, settings: Settings, tokenizer: PreTrainedTokenizerBase) -> None:
        self.world, self.settings, self.tokenizer = get_world(settings.world), settings, tokenizer

    def __len__(self) -> int:
        return self.settings.steps * self.settings.batch_size

    def __getitem__(self, index: int) -> Row:
        return encode(self.tokenizer, [self.world.tell(f"train/{self.settings.seed}/{index}").text])[0]

    def collate(self, rows: list[Row]) -> dict[str, Tensor]:
        """A batch, padded as the tokenizer pads."""
        return collate(rows, self.tokenizer.pad_token_id)

    def samples(self, n: int) -> Iterator[dict[str, Tensor]]:
        """The first ``n`` stories, each as a batch of its own; more of them than a run trains on, if asked for."""
        for index in range(n):
            yield self.collate([self[index]])
