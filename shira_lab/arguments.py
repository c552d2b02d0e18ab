"""What arguments should be, where Python would find out too late: the checks that several calls share."""

import math
import os
import reprlib
from pathlib import Path
from typing import Any, TypeVar

from shira_lab.errors import AdapterError, ConfigError, ShiraError, StorageError

T = TypeVar("T")


def expect(value: Any, kind: type[T], name: str, expected: str, error: type[ShiraError] = ConfigError) -> T:
    """Return ``value`` if it is of this kind.

    Raises:
        ShiraError: of the class ``error``, with the ``name`` of the argument and what was ``expected``.
    """
    if not isinstance(value, kind):
        raise error(f"`{name}` should be {expected}; got {reprlib.repr(value)}.")
    return value


def is_finite(number: Any) -> bool:
    """Whether this is a number, no bool, that a float can hold."""
    try:
        return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    except OverflowError:
        return False


def check_seed(seed: Any) -> int:
    """Return ``seed`` if a random generator takes it."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ConfigError(f"`random_seed` should be None or an integer in [0, 2**63); got {seed!r}.")
    return seed


def check_names(names: Any, argument: str) -> list[str]:
    """Return a list of adapter names as one."""
    if isinstance(names, str) or not isinstance(names, list | tuple | set | frozenset | dict):
        raise AdapterError(f"`{argument}` should be a list of adapter names; got {reprlib.repr(names)}.")
    for name in names:
        expect(name, str, argument, "made of names", AdapterError)
    return list(names)


def check_path(path: Any, argument: str) -> Path:
    """Return a path of a file or folder as one."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise StorageError(f"`{argument}` should be the path of a folder; got {reprlib.repr(path)}.")
    return Path(path)
