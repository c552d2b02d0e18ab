"""Does a text keep its story straight? Checks that read a world's own templates backwards.

A sentence of the text that fits a template shows what its fields say. A role must have the same value
wherever it is mentioned, and a derived field must agree with its role: the thing that is given is the thing
that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from shira_lab.training.worlds.templates import parse

if TYPE_CHECKING:
    from shira_lab.training.worlds.world import World

_BEGINNING = r'(?:^|(?<=[.!?"] ))'  # of a sentence
_NAME = r"[A-Z][\w-]*"
_PHRASE = r"[\w'-]+(?: [\w'-]+)*?"


@dataclass(frozen=True)
class Tally:
    """How many texts passed a check, of those that got far enough to be checked."""

    right: int
    checked: int

    @property
    def share(self) -> float:
        """right / checked, or NaN when nothing was checked."""
        return self.right / self.checked if self.checked else float("nan")

    def __str__(self) -> str:
        return f"{self.right}/{self.checked}"


def score(world: World, text: str) -> dict[str, bool | None]:
    """Each check of `world` on `text`: kept, broken, or None where the text does not get that far."""
    mentions = _mentions(world, text)
    return {check: _holds(world, fields, mentions) for check, fields in world.checks.items()}


def tally(world: World, texts: Iterable[str]) -> dict[str, Tally]:
    """Count each check of `score` over many texts."""
    scores = [score(world, text) for text in texts]
    return {
        check: Tally(sum(s[check] is True for s in scores), sum(s[check] is not None for s in scores))
        for check in world.checks
    }


def _holds(world: World, fields: Iterable[str], mentions: Mapping[str, list[str]]) -> bool | None:
    verdicts = []
    for field in fields:
        if field in world.derived:
            role, values = world.derived[field]
            expected = values.get(mentions[role][0]) if role in mentions else None
            verdicts += [value == expected for value in mentions.get(field, ()) if expected is not None]
        else:
            first, *later = mentions.get(field, [""])
            verdicts += [value == first for value in later]
    return all(verdicts) if verdicts else None


def _mentions(world: World, text: str) -> dict[str, list[str]]:
    """field -> the values that the text gives it, in the order of mention."""
    found = set()
    for pattern, fields in _patterns(world):
        for match in pattern.finditer(text):
            for group, field in enumerate(fields, start=1):
                value = match[group].lower() if field in world.derived else match[group]
                found.add((match.start(group), field, value))
    mentions: dict[str, list[str]] = {}
    for _, field, value in sorted(found):
        mentions.setdefault(field, []).append(value)
    return mentions


@cache
def _patterns(world: World) -> list[tuple[re.Pattern[str], list[str]]]:
    """Each template as a regular expression with one group a field, and the names of the fields."""
    patterns = []
    for template in dict.fromkeys(template for beat in world.beats for template in beat):
        pieces, fields = [_BEGINNING], []
        for literal, name in parse(template):
            pieces.append(re.escape(literal))
            if name:
                pieces.append(f"({_pattern(world, name.lower())})")
                fields.append(name.lower())
        patterns.append((re.compile("".join(pieces)), fields))
    return patterns


def _pattern(world: World, field: str) -> str:
    """A role may take any value, so that a wrong one is seen as wrong; other fields only what the world knows."""
    if field in world.roles:
        options = world.pools[world.roles[field]]
        return _NAME if all(re.fullmatch(_NAME, option) for option in options) else _PHRASE
    options = list(world.derived[field][1].values()) if field in world.derived else list(world.pools[field])
    return f"(?i:{'|'.join(map(re.escape, options))})"
