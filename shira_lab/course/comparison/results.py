"""What the runs of a comparison say: the best learning rate of each cell, and means with their spread over seeds."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Literal

from shira_lab.course.comparison.records import Cell, Protocol, Run


@dataclass(frozen=True)
class Spread:
    """A number measured once for each seed."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def deviation(self) -> float:
        """Sample standard deviation over the seeds (divisor: seeds - 1); NaN where one of them diverged."""
        return stdev(self.values) if all(map(math.isfinite, self.values)) else math.nan

    def against(self, other: "Spread") -> Literal["lower", "higher", "tie"]:
        """Where all values lie to those of the other; "tie" as soon as one of them lies among the others.

        Of two equal methods with n seeds each, one lies apart from the other by chance in 2 of C(2n, n) orders: 2 of 20
        for n = 3.
        """
        if max(self.values) < min(other.values):
            return "lower"
        return "higher" if min(self.values) > max(other.values) else "tie"

    def __str__(self) -> str:
        return f"{self.mean:.2f} +- {self.deviation:.2f}"


@dataclass(frozen=True)
class Comparison:
    """A protocol and the runs that were made under it, in the order in which they were made."""

    protocol: Protocol
    runs: tuple[Run, ...]

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of which every run is there: the whole grid, and every seed at the best rate."""
        begun = dict.fromkeys(run.cell for run in self.runs)
        return tuple(cell for cell in begun if self._is_complete(cell))

    def with_budget(self, r: int) -> tuple[Cell, ...]:
        """The cells with this r, and those to which no r applies."""
        return tuple(cell for cell in self.cells if cell.r in (r, None))

    def tuning(self, cell: Cell) -> dict[float, float]:
        """learning rate -> final excess under the tuning seed, as far as it was measured; infinite: it diverged."""
        return {
            run.learning_rate: run.excess
            for run in self.runs
            if run.cell == cell and run.seed == self.protocol.tuning_seed
        }

    def best_rate(self, cell: Cell) -> float:
        """The learning rate with the least final excess under the tuning seed."""
        tuning = self.tuning(cell)
        return min(tuning, key=lambda rate: tuning[rate])

    def at_edge(self, cell: Cell) -> bool:
        """Whether the best rate is the smallest or the largest of the grid: a better one may lie outside."""
        rates = self.protocol.rates(cell)
        return self.best_rate(cell) in (rates[0], rates[-1])

    def reported(self, cell: Cell) -> tuple[Run, ...]:
        """The runs with the reported seeds at the best rate, in the order of the seeds."""
        rate = self.best_rate(cell)
        found = {run.seed: run for run in self.runs if run.cell == cell and run.learning_rate == rate}
        return tuple(found[seed] for seed in self.protocol.seeds if seed in found)

    def over_seeds(self, cell: Cell, measure: Callable[[Run], float]) -> Spread:
        """``measure`` of each reported run."""
        return Spread(tuple(measure(run) for run in self.reported(cell)))

    def consistency(self, cell: Cell) -> dict[str, tuple[int, int]]:
        """check -> (texts that passed it, texts that got far enough to be checked), over all reported runs."""
        counts = [run.consistency for run in self.reported(cell)]
        return {
            check: (sum(one[check][0] for one in counts), sum(one[check][1] for one in counts)) for check in counts[0]
        }

    def _is_complete(self, cell: Cell) -> bool:
        whole_grid = set(self.tuning(cell)) == set(self.protocol.rates(cell))
        return whole_grid and len(self.reported(cell)) == len(self.protocol.seeds)
