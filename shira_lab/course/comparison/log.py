"""A comparison's log, one JSON object a line: the protocol first, then each run as it ends."""

from pathlib import Path

from shira_lab.course.comparison.records import Protocol, Run
from shira_lab.course.comparison.results import Comparison
from shira_lab.course.logs import Content, append_json_line, begin_json_log, read_json_log, shipped_log

SHIPPED = "runs.jsonl"  # made by scripts/compare.py
POSITIONS = "positions.jsonl"  # made by scripts/choose_positions.py


def shipped(name: str = SHIPPED) -> Comparison:
    """A comparison on the embedded model that ships with the package, ``SHIPPED`` or ``POSITIONS``."""
    return shipped_log("shira_lab.course.comparison", name, read_log)


def read_log(path: Path) -> Comparison:
    """The comparison in a log.

    Raises:
        StorageError: when the file cannot be read or is no such log.
    """
    return read_json_log(path, _whole, "a comparison")


def begin_log(path: Path, protocol: Protocol) -> Comparison:
    """The comparison as far as its log goes; a new log is begun where there is none.

    Raises:
        ConfigError: when the log was begun under another protocol.
    """
    return begin_json_log(path, protocol, read_log)


def append_run(path: Path, run: Run) -> None:
    """Add a finished run to the log."""
    append_json_line(path, run.to_dict())


def _whole(protocol: Content, runs: list[Content]) -> Comparison:
    tuples = {name: tuple(protocol[name]) for name in ("learning_rates", "seeds")}
    return Comparison(Protocol(**{**protocol, **tuples}), tuple(Run.from_dict(run) for run in runs))
