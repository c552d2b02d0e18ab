"""How the costs of :mod:`shira_lab.course.speed.layer` grow when one thing grows and the others stay."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shira_lab.course.logs import Content, Log

SHIPPED = "growth.jsonl"
# The names of the costs, each with what it is compared with.
STEP, TOKEN = "training step / frozen layer", "one token / bare layer"
SWITCH, MASK = "switch / LoRA's switch", "random mask / whole random order"


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        cost: name of the cost, one of :data:`shira_lab.course.speed.layer.ROWS`.
        along: what grows in this series: "size", "tokens" or "r".
        ratios: by side, the median ratio and the ends of its 95% interval.
        seconds: by side, the median time.
    """

    cost: str
    along: str
    m: int
    n: int
    r: int
    tokens: int
    ratios: dict[str, tuple[float, float, float]]
    seconds: dict[str, float]

    @property
    def density(self) -> float:
        return self.r * (self.m + self.n) / (self.m * self.n)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Growth:
    """All measurements of one machine, and the facts of that machine."""

    machine: dict[str, str]
    points: tuple[Point, ...]

    def series(self, cost: str, along: str) -> Iterator[Point]:
        """The points of one curve, in the order in which they were measured."""
        return (point for point in self.points if (point.cost, point.along) == (cost, along))


def _whole(machine: dict[str, str], points: list[Content]) -> Growth:
    def tuples(ratios: dict[str, list[float]]) -> dict[str, tuple[float, float, float]]:
        return {side: (median, low, high) for side, (median, low, high) in ratios.items()}

    return Growth(machine, tuple(Point(**{**point, "ratios": tuples(point["ratios"])}) for point in points))


LOG = Log("measured costs", "shira_lab.course.speed", _whole)
read_growth = LOG.read


def shipped() -> Growth:
    """The measurement that ships with the package, made by ``scripts/grow.py``."""
    return LOG.shipped(SHIPPED)
