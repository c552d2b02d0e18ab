"""Where the texts of a run come from: a world that generates as many stories as it is asked for, or real text."""

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from shira_lab.errors import ShiraError
from shira_lab.training.data import Row, encode
from shira_lab.training.documents import PYTHON, read_documents, split
from shira_lab.training.worlds import WORLDS, World, get_world


@dataclass(frozen=True)
class HeldOut:
    """Rows that nothing trains on.

    Attributes:
        nats: -log p of all of them under their grammar; 0 for real text, whose probability nobody knows.
    """

    rows: Sequence[Row]
    nats: float


class Corpus(Protocol):
    """Rows of token ids.

    Attributes:
        about: what the texts are and how many tokens, for people.
    """

    about: str

    def row(self, seed: int | None, index: int) -> Row:
        """The ``index``-th row that a run of this seed trains on."""

    def held_out(self, n: int) -> HeldOut:
        """The first ``n`` held-out rows, or all where there are less."""


def find_corpus(name: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Corpus:
    """The corpus of this name.

    Args:
        name: of a world; "python" for Python's own language reference; or the path of a text file or folder.
        max_length: tokens of a row of real text; a story is as long as it is.

    Raises:
        ShiraError: there is nothing of this name, or it cannot be read.
    """
    if name in WORLDS:
        return Tales(get_world(name), tokenizer)
    if name == PYTHON or Path(name).expanduser().exists():
        return Texts(name, tokenizer, max_length)
    known = ", ".join(map(repr, (*WORLDS, PYTHON)))
    raise ShiraError(f"there is no world {name!r}, and no text file or folder of that name; the worlds are {known}")


class Tales:
    """The stories of a world, generated when they are asked for, none of them twice."""

    def __init__(self, world: World, tokenizer: PreTrainedTokenizerBase) -> None:
        self.world, self.tokenizer = world, tokenizer
        self.about = f"stories of the world {world.name}, made as they are needed"

    def row(self, seed: int | None, index: int) -> Row:
        return encode(self.tokenizer, [self.world.story(f"train/{seed}/{index}").text])[0]

    def held_out(self, n: int) -> HeldOut:
        stories = self.world.stories(n, split="held-out")
        rows = encode(self.tokenizer, [story.text for story in stories])
        return HeldOut(rows, sum(story.nats for story in stories))


class Texts:
    """Documents cut into rows of ``max_length`` tokens; in each epoch all rows come once, in another order."""

    def __init__(self, source: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        what, documents = read_documents(source)
        train, held_out = split(documents, what)
        self.rows, self._held_out = (_cut(part, tokenizer, max_length) for part in (train, held_out))
        if not self.rows or not self._held_out:
            raise ShiraError(f"{what} is too short: there are not two tokens to train on and two to hold out.")
        self._order: tuple[tuple[int | None, int], list[int]] = ((None, -1), [])
        tokens, kept = (sum(len(row["input_ids"]) for row in part) for part in (self.rows, self._held_out))
        self.about = (
            f"{what}: {len(train)} documents with {tokens:,} tokens to train on, in rows of {max_length}, and "
            f"{len(held_out)} documents with {kept:,} tokens held out"
        )

    def row(self, seed: int | None, index: int) -> Row:
        epoch, place = divmod(index, len(self.rows))
        if self._order[0] != (seed, epoch):
            order = random.Random(f"{seed}/{epoch}").sample(range(len(self.rows)), len(self.rows))
            self._order = ((seed, epoch), order)
        return self.rows[self._order[1][place]]

    def held_out(self, n: int) -> HeldOut:
        every = max(1, len(self._held_out) // n)  # from all of the documents, not from the first one alone
        return HeldOut(self._held_out[::every][:n], 0.0)


def _cut(documents: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Row]:
    """Rows of each document for itself; the last one is shorter, and left out when it predicts nothing."""
    rows: list[Row] = []
    for document in documents:  # one after the other, into arrays: a list of all the tokens takes ten times as much
        ids = array("i", encode(tokenizer, [document])[0]["input_ids"])
        rows += [{"input_ids": ids[start : start + max_length]} for start in range(0, len(ids) - 1, max_length)]
    return rows
