"""What a run is judged by: how much is learned, forgotten and kept straight, and how many directions that took."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Final, Literal

from shira_lab.course.comparison.records import Run


@dataclass(frozen=True)
class Measure:
    """A number of a run.

    Attributes:
        title: what it is, with its unit, for an axis.
        of: the number; NaN where the run has none.
        better: which end is the better one; "neither" for what only describes.
        digits: after the point, where it is printed.
    """

    name: str
    title: str
    of: Callable[[Run], float]
    better: Literal["low", "high", "neither"]
    digits: int


def reference_at(run: Run, excess: float) -> float:
    """Excess on the old world when the run had learned the new one down to ``excess``, between evaluations linearly.

    Two methods that learn at different speeds can be compared at equal learning. NaN where the run never came so far,
    or did not follow the old world.
    """
    for before, after in pairwise(run.points):
        if before.reference is None or after.reference is None:
            break
        if after.excess <= excess <= before.excess:
            share = (before.excess - excess) / (before.excess - after.excess)
            return before.reference + share * (after.reference - before.reference)
    return math.nan


def _forgetting(run: Run) -> float:
    first, last = run.points[0].reference, run.points[-1].reference
    return last - first if first is not None and last is not None else math.nan


def _passed(run: Run) -> float:
    return sum(right for right, _ in run.consistency.values()) if run.consistency else math.nan


def _mean(which: str) -> Callable[[Run], float]:
    return lambda run: fmean(getattr(layer, which) for layer in run.ranks) if run.ranks else math.nan


EXCESS: Final = Measure("excess", "final excess (nats/token)", lambda run: run.excess, "low", 2)
FORGETTING: Final = Measure("forgetting", "growth of the excess on the old world (nats/token)", _forgetting, "low", 2)
CONSISTENCY: Final = Measure("consistency", "consistency checks passed (count over all texts)", _passed, "high", 0)
RANK: Final = Measure("rank", "rank, mean of the watched layers", _mean("rank"), "neither", 0)
STABLE_RANK: Final = Measure(
    "stable rank", "stable rank, mean of the watched layers", _mean("stable_rank"), "neither", 1
)
EFFECTIVE_RANK: Final = Measure(
    "effective rank", "effective rank, mean of the watched layers", _mean("effective_rank"), "neither", 1
)
MEASURES: Final = {m.name: m for m in (EXCESS, FORGETTING, CONSISTENCY, RANK, STABLE_RANK, EFFECTIVE_RANK)}
