"""Timing that survives a noisy machine: the sides take turns, and a result is the median of paired ratios.

A round runs every side once, in an order that changes from round to round; a ratio compares two times of one round.
Rounds go on until the 95% confidence interval of the median is narrower than 5%, or patience ends, which is then said.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Side = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """The median of a side's times over the reference's, with the confidence interval of that median."""

    median: float
    low: float
    high: float
    seconds: float
    rounds: int

    @property
    def spread(self) -> float:
        """Width of the interval, as a share of the median."""
        return (self.high - self.low) / self.median

    @property
    def settled(self) -> bool:
        return self.spread <= TARGET_SPREAD


TARGET_SPREAD = 0.05


def interleave(
    sides: Mapping[str, Side], reference: str, min_rounds: int = 15, patience_s: float = 60.0, warmup: int = 2
) -> dict[str, Ratio]:
    """Each side's :class:`Ratio` to ``reference``."""
    for side in sides.values():
        for _ in range(warmup):
            side()
    times: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    shuffle = random.Random(0).shuffle
    end = time.perf_counter() + patience_s
    while True:
        shuffle(order)
        for name in order:
            times[name].append(_timed(sides[name]))
        rounds = len(times[reference])
        if rounds < min_rounds:
            continue
        ratios = {name: _ratio(times[name], times[reference]) for name in sides}
        if all(r.settled for r in ratios.values()) or time.perf_counter() > end:
            return ratios


def _timed(side: Side) -> float:
    """Seconds; on a GPU between two events of its own, so that the last wait for it is not counted."""
    if not torch.cuda.is_available():
        start = time.perf_counter()
        side()
        return time.perf_counter() - start
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    side()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / 1000


def _ratio(times: list[float], reference: list[float]) -> Ratio:
    paired = sorted(a / b for a, b in zip(times, reference, strict=True))
    # Order statistics around the median that hold it with 95% probability, whatever the distribution.
    half = 0.98 * len(paired) ** 0.5
    low = paired[max(0, int(len(paired) / 2 - half))]
    high = paired[min(len(paired) - 1, int(len(paired) / 2 + half))]
    return Ratio(statistics.median(paired), low, high, statistics.median(times), len(paired))
