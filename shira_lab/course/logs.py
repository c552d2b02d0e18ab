"""Logs of one JSON object a line: first under which conditions, then each result as it comes.

A log is the result: nothing is kept beside it that could disagree with it.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Generic, TypeVar

from shira_lab.adapters.storage.files import read_bytes
from shira_lab.errors import ConfigError, StorageError

T = TypeVar("T")
Content = dict[str, Any]


@dataclass(frozen=True)
class Log(Generic[T]):
    """Logs of one kind.

    Attributes:
        what: of what, for messages: "a comparison".
        package: where one of them ships.
        make: makes the whole of the first line and the others.
    """

    what: str
    package: str
    make: Callable[[Content, list[Content]], T]

    def read(self, path: Path) -> T:
        """The whole of a log.

        Raises:
            StorageError: when the file cannot be read or is no such log.
        """
        try:
            first, *others = map(json.loads, read_bytes(path).decode().splitlines())
            return self.make(first, others)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"{path} is not the log of {self.what}: {error}.") from None

    def shipped(self, name: str) -> T:
        """A log that ships with the package."""
        with as_file(files(self.package) / name) as path:
            return self.read(path)

    def begin(self, path: Path, protocol: Any) -> T:
        """The log as far as it goes; a new one is begun under ``protocol``, a dataclass, where there is none.

        Raises:
            ConfigError: when the log was begun under another protocol.
        """
        if not path.exists():
            append_json_line(path, dataclasses.asdict(protocol))
        log: Any = self.read(path)
        if log.protocol != protocol:
            raise ConfigError(f"{path} was begun under another protocol. Choose another file, or delete this one.")
        return log

    def append(self, path: Path, run: Any) -> None:
        """Add a finished run."""
        append_json_line(path, run.to_dict())


def append_json_line(path: Path, content: Content) -> None:
    """Add ``content`` as one line of JSON to the file, which is made where it is missing."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(content) + "\n")
