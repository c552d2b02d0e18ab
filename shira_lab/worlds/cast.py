"""What the tales of all worlds share: heroes with pronouns, and the checks that hold a tale together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

TALE_CHECKS: Mapping[str, Sequence[str]] = {
    "hero": ("hero",),
    "pronoun": ("he", "his", "him"),
    "friend": ("friend",),
    "object": ("object",),
    "home": ("home",),
    "mood": ("relief",),
}
TALE_ROLES: Mapping[str, str] = {
    "hero": "name",
    "friend": "name",
    "object": "object",
    "home": "home",
    "mood": "mood",
}


def pronouns(she: Sequence[str], he: Sequence[str]) -> dict[str, tuple[str, dict[str, str]]]:
    """The derived fields he, his and him of the hero, for women named in `she` and men named in `he`."""
    forms = {"he": ("she", "he"), "his": ("her", "his"), "him": ("her", "him")}
    return {
        form: ("hero", dict.fromkeys(she, female) | dict.fromkeys(he, male)) for form, (female, male) in forms.items()
    }


def pairs(first: str, second: str) -> list[str]:
    """All two-word phrases of a word of `first` and a word of `second`, both given as blank-separated words."""
    return [f"{left} {right}" for left, right in product(first.split(), second.split())]
