"""A comparison's log, one JSON object a line: the protocol first, then each run as it ends.

The log is the result: nothing is kept beside it that could disagree with it.
"""

import dataclasses
import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from shira_lab.comparison.records import Protocol, Run
from shira_lab.comparison.results import Comparison
from shira_lab.errors import ConfigError, StorageError
from shira_lab.files import append_json_line, read_bytes

SHIPPED = "runs.jsonl"  # made by scripts/compare.py
POSITIONS = "positions.jsonl"  # made by scripts/choose_positions.py


def shipped(name: str = SHIPPED) -> Comparison:
    """A comparison on the embedded model that ships with the package, ``SHIPPED`` or ``POSITIONS``."""
    with as_file(files("shira_lab.comparison") / name) as path:
        return read_log(path)


def read_log(path: Path) -> Comparison:
    """The comparison in a log.

    Raises:
        StorageError: when the file cannot be read or is no such log.
    """
    lines = read_bytes(path).decode().splitlines()
    try:
        protocol, *runs = [json.loads(line) for line in lines]
        return Comparison(_protocol(protocol), tuple(Run.from_dict(run) for run in runs))
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is not the log of a comparison: {error}.") from None


def begin_log(path: Path, protocol: Protocol) -> Comparison:
    """The comparison as far as its log goes; a new log is begun where there is none.

    Raises:
        ConfigError: when the log was begun under another protocol.
    """
    if not path.exists():
        append_json_line(path, dataclasses.asdict(protocol))
    comparison = read_log(path)
    if comparison.protocol != protocol:
        raise ConfigError(f"{path} was begun under another protocol. Choose another file, or delete this one.")
    return comparison


def append_run(path: Path, run: Run) -> None:
    """Add a finished run to the log."""
    append_json_line(path, run.to_dict())


def _protocol(content: dict[str, Any]) -> Protocol:
    tuples = {name: tuple(content[name]) for name in ("learning_rates", "seeds")}
    return Protocol(**{**content, **tuples})
