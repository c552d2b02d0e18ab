"""Logs of one JSON object a line: first under which conditions, then each result as it comes.

A log is the result: nothing is kept beside it that could disagree with it.
"""

import dataclasses
import json
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Protocol, TypeVar

from shira_lab.adapters.storage.files import read_bytes
from shira_lab.errors import ConfigError, StorageError

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


class UnderProtocol(Protocol):
    """The whole of a log that was begun under a protocol, a dataclass."""

    @property
    def protocol(self) -> Any: ...


U = TypeVar("U", bound=UnderProtocol)


def begin_json_log(path: Path, protocol: Any, read: Callable[[Path], U]) -> U:
    """What ``read`` makes of the log as far as it goes; a new log is begun where there is none.

    Raises:
        ConfigError: when the log was begun under another protocol.
    """
    if not path.exists():
        append_json_line(path, dataclasses.asdict(protocol))
    log = read(path)
    if log.protocol != protocol:
        raise ConfigError(f"{path} was begun under another protocol. Choose another file, or delete this one.")
    return log
