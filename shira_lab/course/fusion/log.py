"""The study's log, one JSON object a line: the protocol first, then each run as it ends."""

from pathlib import Path

from shira_lab.course.fusion.records import FusionRun, Protocol
from shira_lab.course.fusion.results import Study
from shira_lab.course.logs import Content, append_json_line, begin_json_log, read_json_log, shipped_log

SHIPPED = "runs.jsonl"


def shipped() -> Study:
    """The study on the embedded model that ships with the package, made by ``scripts/fuse.py``."""
    return shipped_log("shira_lab.course.fusion", SHIPPED, read_log)


def read_log(path: Path) -> Study:
    """The study in a log.

    Raises:
        StorageError: when the file cannot be read or is no such log.
    """
    return read_json_log(path, _whole, "a study of fusing")


def begin_log(path: Path, protocol: Protocol) -> Study:
    """The study as far as its log goes; a new log is begun where there is none.

    Raises:
        ConfigError: when the log was begun under another protocol.
    """
    return begin_json_log(path, protocol, read_log)


def append_run(path: Path, run: FusionRun) -> None:
    """Add a finished run to the log."""
    append_json_line(path, run.to_dict())


def _whole(protocol: Content, runs: list[Content]) -> Study:
    tuples = {name: tuple(protocol[name]) for name in ("worlds", "scales", "seeds")}
    return Study(Protocol(**{**protocol, **tuples}), tuple(FusionRun.from_dict(run) for run in runs))
