"""Templates are sentences with fields in braces, ``"{He} gave the {object} to {friend}."``."""

from __future__ import annotations

import string
from collections.abc import Iterator


def parse(template: str) -> Iterator[tuple[str, str | None]]:
    """The pieces of a template: literal text and the field that follows it, or None at the end."""
    return ((literal, name) for literal, name, _, _ in string.Formatter().parse(template))


def filled(name: str, value: str) -> str:
    """The value as the field writes it: a field with a capital, ``{He}``, begins a sentence."""
    return value[0].upper() + value[1:] if name[0].isupper() else value
