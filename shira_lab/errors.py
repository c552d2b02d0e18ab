"""The errors of the package, and the checks of arguments that several calls share.

The errors are one family: ``except ShiraError`` catches them all. Every message names the field or layer, what came,
what was expected, and what to do about it. They are ``ValueError``s, as PEFT's in the same places.
"""

import os
import reprlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class ShiraError(ValueError):
    """Something that was asked of the package cannot be done; the message says what, why and what to do."""


class ConfigError(ShiraError):
    """A field of a configuration has a value that cannot work."""


class MaskError(ShiraError):
    """A mask is not binary, has the wrong number of ones, or does not fit the weight."""


class AdapterError(ShiraError):
    """An adapter is missing, is there already, or is used in a way that it cannot be."""


class StorageError(ShiraError):
    """An adapter file or folder cannot be read, or does not fit the model."""


class MissingExtra(ImportError, ShiraError):
    """A part of the package needs packages that are not installed; the message names the extra that brings them."""


def need_extra(part: str, extra: str, *packages: str) -> None:
    """Raise MissingExtra where ``part`` of the package is imported without the packages that its extra brings."""
    if missing := [package for package in packages if find_spec(package) is None]:
        raise MissingExtra(f'{part} needs {", ".join(missing)}: pip install "shira-lab[{extra}]".')


def expect(value: Any, kind: type[T], name: str, expected: str, error: type[ShiraError] = ConfigError) -> T:
    """Return ``value`` if it is of this kind, or raise ``error`` with the argument's name and what was expected."""
    if not isinstance(value, kind):
        raise error(f"`{name}` should be {expected}; got {reprlib.repr(value)}.")
    return value


def is_finite(number: Any) -> bool:
    """Whether this is a number, no bool, that a float can hold."""
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= sys.float_info.max


def check_positive(number: Any, name: str, error: type[ShiraError]) -> int:
    """Return ``number`` if it is a positive integer, or raise ``error`` with the argument's name."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise error(f"`{name}` should be a positive integer; got {number!r}.")
    return number


def check_seed(seed: Any) -> int:
    """Return ``seed`` if a random generator takes it."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ConfigError(f"`random_seed` should be None or an integer in [0, 2**63); got {seed!r}.")
    return seed


def check_scale(scale: Any) -> float:
    """Return ``scale`` as a float if it is a finite number."""
    if not is_finite(scale):
        raise ConfigError(f"`scale` should be a finite number; got {scale!r}.")
    return float(scale)


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
