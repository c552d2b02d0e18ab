"""A tiny probabilistic-program core: each random choice is booked, so the probability of a text is known exactly.

A program tells a text by calling `Teller.choose` and `Teller.say`. The booked nats, -sum log p(choice), are exactly
-log p(text) when no other choices lead to the same text. `derivations` decides that for any text: it searches all
choices that the program could have made, and gives up on those whose words leave the text.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Option = TypeVar("Option")


class Teller:
    """Tells a text by random choices and books what they cost.

    Attributes:
        text: what has been said so far.
        nats: -sum log p over the choices made so far, in nats.
    """

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)
        self.text = ""
        self.nats = 0.0

    def choose(self, options: Sequence[Option], weights: Sequence[float] | None = None) -> Option:
        """Pick one of `options`, uniformly or in proportion to `weights`, and book -log p of the pick."""
        weights = [1.0] * len(options) if weights is None else weights
        index = self._pick(weights)
        self.nats -= math.log(weights[index] / sum(weights))
        return options[index]

    def say(self, words: str) -> None:
        """Append `words` to the text."""
        self.text += words

    def _pick(self, weights: Sequence[float]) -> int:
        rest = self._random.random() * sum(weights)
        for index, weight in enumerate(weights):
            rest -= weight
            if rest < 0:
                return index
        return len(weights) - 1


class _Fork(Exception):
    """A choice was asked for that the reader has not been told how to make."""

    def __init__(self, options: int) -> None:
        self.options = options


class _Mismatch(Exception):
    """The words said so far are not the beginning of the text that is read."""


class _Reader(Teller):
    """A teller that repeats the given choices and checks its words against a target text."""

    def __init__(self, choices: tuple[int, ...], target: str) -> None:
        super().__init__(0)
        self._choices = iter(choices)
        self._target = target

    def _pick(self, weights: Sequence[float]) -> int:
        try:
            return next(self._choices)
        except StopIteration:
            raise _Fork(len(weights)) from None

    def say(self, words: str) -> None:
        if not self._target.startswith(words, len(self.text)):
            raise _Mismatch
        super().say(words)


def derivations(tell: Callable[[Teller], object], text: str) -> Iterator[float]:
    """Every way in which `tell` produces exactly `text`, as its booked nats.

    None: the program cannot generate this text. One: the nats are -log p(text). The search is exhaustive; a
    program that says its words soon after choosing them keeps it short.
    """
    open_choices: list[tuple[int, ...]] = [()]
    while open_choices:
        choices = open_choices.pop()
        reader = _Reader(choices, text)
        try:
            tell(reader)
        except _Fork as fork:
            open_choices.extend((*choices, index) for index in range(fork.options))
        except _Mismatch:
            continue
        else:
            if reader.text == text:
                yield reader.nats
