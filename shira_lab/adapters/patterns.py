"""Values of a config that say which modules they mean: lists of names, regular expressions, patterns by layer.

A pattern matches a layer's path or its ending, as in PEFT. Patterns come in files from strangers, and a few characters
can keep a backtracking matcher busy for years; so they are matched by the ``regex`` package, which stops in time.
"""

import re
from typing import Any, TypeVar

import regex

from shira_lab.errors import ConfigError, expect

T = TypeVar("T")
#: Of the processor's time, for one pattern on one path; a usual one takes microseconds.
MATCH_SECONDS = 0.2


def first_match(patterns: dict[str, T], layer: str, default: T) -> T:
    """The value of the first pattern that matches this path or its ending."""
    for pattern, value in patterns.items():
        if pattern_matches(pattern, layer):
            return value
    return default


def pattern_matches(pattern: str, layer: str) -> bool:
    """Whether the pattern matches this path or its ending; raises as :func:`matches`."""
    return matches(rf"(.*\.)?({pattern})$", layer)


def matches(pattern: str, path: str) -> bool:
    """Whether the regular expression matches the whole path.

    Raises:
        ConfigError: when it cannot be said in time.
    """
    try:
        return regex.fullmatch(pattern, path, timeout=MATCH_SECONDS) is not None
    except (TimeoutError, MemoryError, regex.error):
        raise ConfigError(
            f"The regular expression {pattern!r} could not be matched against '{path}' in {MATCH_SECONDS} s. Write it "
            "without repeats inside repeats, such as (a+)+, or list the names of the modules."
        ) from None


def all_of(values: Any, kind: type) -> bool:
    return isinstance(values, list | tuple | set) and all(
        isinstance(v, kind) and not isinstance(v, bool) for v in values
    )


def check_patterns(patterns: Any, name: str) -> None:
    if not isinstance(patterns, dict):
        raise ConfigError(f"`{name}` should be a dict of {{pattern: value}}; got {patterns!r}.")
    for pattern in patterns:
        check_regex(pattern, name)


def check_regex(pattern: Any, name: str) -> None:
    expect(pattern, str, name, "made of patterns that are strings")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"`{name}` is not a valid regular expression: {pattern!r} ({error}).") from None


def names_or_pattern(value: Any, name: str) -> set[str] | str | None:
    """Lists become sets, as in PEFT; a string stays the regular expression it is."""
    if value is None:
        return None
    if isinstance(value, str):
        if not value:
            raise ConfigError(f"`{name}` is an empty string; give names, a regular expression or 'all-linear'.")
        check_regex(value, name)
        return value
    if not all_of(value, str) or not all(value):
        raise ConfigError(f"`{name}` should be a list of module names or one regular expression; got {value!r}.")
    if not value and name == "target_modules":
        raise ConfigError("`target_modules` is empty; name at least one module, for instance ['q_proj', 'v_proj'].")
    return set(value)
