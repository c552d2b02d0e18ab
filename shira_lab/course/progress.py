"""What a learner has predicted, tried and passed, in one file of the learner's own; nothing leaves the machine.

The file is plain JSON: two lists, of checks and of predictions, each entry with its time. Whoever deletes it forgets
all of it. Several kernels may write at once: each reads, adds and replaces the file under a lock.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from shira_lab.adapters.storage.files import read_json, write_atomic, writing
from shira_lab.errors import StorageError

#: The path of the file, or ``off``: then nothing is kept.
VARIABLE = "SHIRA_LAB_PROGRESS"
OFF = "off"
SAYS = "Your progress in the lessons of SHiRA Lab, read by you alone. Delete this file to forget it."


@dataclass(frozen=True)
class Check:
    """One call of a check, at a time in UTC: of which exercise, whether it passed, and what it said."""

    at: str
    exercise: str
    passed: bool
    said: str


@dataclass(frozen=True)
class Prediction:
    """What a learner committed to first; ``answer`` is empty until the lesson gave it."""

    at: str
    question: str
    committed: str
    answer: str = ""

    @property
    def right(self) -> bool:
        return self.committed == self.answer


@dataclass(frozen=True)
class Progress:
    """All that is kept of one learner."""

    checks: list[Check] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)


def file() -> Path | None:
    """The learner's file, where the system keeps such data or the variable says; None where that is off."""
    said = os.environ.get(VARIABLE, "")
    if said == OFF:
        return None
    if said:
        return Path(said)
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        folder = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return folder / "shira-lab" / "progress.json"


def read(path: Path) -> Progress:
    """The progress in a file.

    Raises:
        StorageError: it cannot be read, or is not what :func:`keep_check` and :func:`keep_prediction` write.
    """
    content = read_json(path)
    try:
        found = Progress(
            [Check(**entry) for entry in content["checks"]], [Prediction(**entry) for entry in content["predictions"]]
        )
        for entry in (entry for entries in asdict(found).values() for entry in entries):
            datetime.fromisoformat(entry["at"])
            for name, value in entry.items():
                if not isinstance(value, bool if name == "passed" else str):
                    raise TypeError(f"{name} is {value!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path} is no file of progress: {type(error).__name__}, {error}.") from None
    return found


def kept() -> Progress:
    """The learner's progress; empty where there is none yet, or where it is switched off.

    Raises:
        StorageError: the file is damaged.
    """
    path = file()
    return read(path) if path and path.exists() else Progress()


def committed_to(question: str) -> str:
    """What the learner predicted before; empty where that is not known."""
    try:
        return next((one.committed for one in kept().predictions if one.question == question), "")
    except StorageError:
        return ""


def keep_check(exercise: str, passed: bool, said: str) -> None:
    """Add one call of a check."""
    _add(lambda progress: progress.checks.append(Check(_now(), exercise, passed, said)))


def keep_prediction(question: str, committed: str, answer: str) -> None:
    """Add a prediction, or its answer to one that is there: what was predicted first stays."""

    def add(progress: Progress) -> None:
        for place, before in enumerate(progress.predictions):
            if before.question == question:
                progress.predictions[place] = Prediction(before.at, question, before.committed, answer or before.answer)
                return
        progress.predictions.append(Prediction(_now(), question, committed, answer))

    _add(add)


def _add(change: Callable[[Progress], Any]) -> None:
    """Change the learner's file; a lesson goes on where that cannot be done, and says so."""
    path = file()
    if path is None:
        return
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=10):
                progress = _read_or_set_aside(path)
                change(progress)
                write_atomic(path, json.dumps({"about": SAYS, **asdict(progress)}, indent=1).encode())
    except StorageError as error:
        warnings.warn(f"Your progress is not kept: {error} Set {VARIABLE} to another path, or to off.", stacklevel=3)


def _read_or_set_aside(path: Path) -> Progress:
    if not path.exists():
        return Progress()
    try:
        return read(path)
    except StorageError as error:
        aside = path.with_name(f"{path.stem}.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}{path.suffix}")
        path.rename(aside)
        warnings.warn(f"{error} It is set aside as {aside}, and a new one is begun.", stacklevel=4)
        return Progress()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
