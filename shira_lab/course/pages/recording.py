"""A training run that a page replays, with the machine and the day on which it was made."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from shira_lab.adapters.storage.files import read_json, write_atomic
from shira_lab.training.history import History, RankPoint

DIGITS = 4  # of what is drawn: losses, singular values, pictures' largest entries


@dataclass(frozen=True)
class Recording:
    """One run, kept once.

    Attributes:
        machine, day: where and when it was made; empty where that was not kept.
    """

    history: History
    machine: str = ""
    day: str = ""

    def save(self, path: Path) -> None:
        """Write it as JSON, its singular values with the digits that a picture needs."""
        kept = replace(self.history, ranks=_light(self.history.ranks), controls=_light(self.history.controls))
        content = {"machine": self.machine, "day": self.day, "history": asdict(kept)}
        write_atomic(path, json.dumps(content, indent=None, separators=(",", ":")).encode())

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Read what :meth:`save` wrote."""
        content = read_json(path)
        return cls(History.from_dict(content["history"]), content["machine"], content["day"])


def _light(points: list[RankPoint]) -> list[RankPoint]:
    """Values that are not zero, rounded."""
    return [
        replace(point, singular_values=tuple(float(f"{value:.{DIGITS}g}") for value in point.singular_values))
        for point in points
    ]
