"""The study's log, one JSON object a line: the protocol first, then each run as it ends."""

import dataclasses
import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from shira_lab.errors import ConfigError, StorageError
from shira_lab.files import append_json_line, read_bytes
from shira_lab.fusion.records import FusionRun, Protocol
from shira_lab.fusion.results import Study

SHIPPED = "runs.jsonl"


def shipped() -> Study:
    """The study on the embedded model that ships with the package, made by ``scripts/fuse.py``."""
    with as_file(files("shira_lab.fusion") / SHIPPED) as path:
        return read_log(path)


def read_log(path: Path) -> Study:
    """The study in a log.

    Raises:
        StorageError: when the file cannot be read or is no such log.
    """
    lines = read_bytes(path).decode().splitlines()
    try:
        protocol, *runs = [json.loads(line) for line in lines]
        return Study(_protocol(protocol), tuple(FusionRun.from_dict(run) for run in runs))
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is not the log of a study of fusing: {error}.") from None


def begin_log(path: Path, protocol: Protocol) -> Study:
    """The study as far as its log goes; a new log is begun where there is none.

    Raises:
        ConfigError: when the log was begun under another protocol.
    """
    if not path.exists():
        append_json_line(path, dataclasses.asdict(protocol))
    study = read_log(path)
    if study.protocol != protocol:
        raise ConfigError(f"{path} was begun under another protocol. Choose another file, or delete this one.")
    return study


def append_run(path: Path, run: FusionRun) -> None:
    """Add a finished run to the log."""
    append_json_line(path, run.to_dict())


def _protocol(content: dict[str, Any]) -> Protocol:
    tuples = {name: tuple(content[name]) for name in ("worlds", "scales", "seeds")}
    return Protocol(**{**content, **tuples})
