"""What the runs of a study say: means over seeds with their spread, and which differences count."""

from collections.abc import Callable
from dataclasses import dataclass

from shira_lab.course.comparison.results import Spread
from shira_lab.course.fusion.records import PAIRS, FusionRun, Pair, Protocol


@dataclass(frozen=True)
class Study:
    """A protocol and the runs that were made under it."""

    protocol: Protocol
    runs: tuple[FusionRun, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs of which every seed is there."""
        return tuple(pair for pair in PAIRS if len(self.of(pair)) == len(self.protocol.seeds))

    def of(self, pair: Pair) -> tuple[FusionRun, ...]:
        """The runs of a pair, in the order of the seeds."""
        return tuple(sorted((run for run in self.runs if run.pair == pair), key=lambda run: run.seed))

    def over_seeds(self, pair: Pair, measure: Callable[[FusionRun], float]) -> Spread:
        """``measure`` of each run of a pair."""
        return Spread(tuple(measure(run) for run in self.of(pair)))

    def fused(self, pair: Pair, scale: float) -> Spread:
        """Mean excess over both worlds with both adapters at ``scale``."""
        return self.over_seeds(pair, lambda run: run.fused_mean(scale))

    def best_scale(self, pair: Pair) -> float:
        """The common scale with the least mean excess."""
        return min(self.protocol.scales, key=lambda scale: self.fused(pair, scale).mean)
