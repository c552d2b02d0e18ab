"""Logs of one JSON object a line: first under which conditions, then each result as it comes.

A log is the result: nothing is kept beside it that could disagree with it.
"""

import json
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar

from shira_lab.errors import ConfigError, StorageError
from shira_lab.files import read_bytes

T = TypeVar("T")
Content = dict[str, Any]
#: Makes the whole of a log from its first line and the others.
Make = Callable[[Content, list[Content]], T]


def append_json_line(path: Path, content: Content) -> None:
    """Add ``content`` as one line of JSON to the file, which is made where it is missing."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(content) + "\n")


def read_json_log(path: Path, make: Make[T], what: str) -> T:
    """What ``make`` makes of a log.

    Raises:
        StorageError: when the file cannot be read or is no log of ``what``.
    """
    try:
        first, *others = map(json.loads, read_bytes(path).decode().splitlines())
        return make(first, others)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{path} is not the log of {what}: {error}.") from None


def shipped_log(package: str, name: str, read: Callable[[Path], T]) -> T:
    """A log that ships inside ``package``."""
    with as_file(files(package) / name) as path:
        return read(path)


def check_protocol(path: Path, begun_under: object, wanted: object) -> None:
    """Raise :class:`ConfigError` when a log was begun under another protocol than the wanted one."""
    if begun_under != wanted:
        raise ConfigError(f"{path} was begun under another protocol. Choose another file, or delete this one.")
