"""What the tales of all worlds share: a cast of roles, pronouns, the checks that hold a tale together."""

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


def phrases(text: str) -> list[str]:
    """The phrases of a comma-separated text."""
    return text.split(", ")


def pairs(first: str, second: str) -> list[str]:
    """All phrases of one of the comma-separated words of `first` and one of `second`."""
    return [f"{left} {right}" for left, right in product(phrases(first), phrases(second))]
