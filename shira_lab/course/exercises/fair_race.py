"""An exercise of the comparison lesson: a fair race from nothing, whose every run is watched."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.trials import Wrong

RATES = (0.001, 0.01, 0.1, 1.0)
LUCK = {100: -0.3, 0: 0.02, 1: 0.07, 2: -0.04}
CHOOSING, *REPORTED = LUCK  # seeds
BEST = {"A": 0.1, "B": 0.01, "C": 0.1}


def fair_race(methods, rates, choosing_seed, seeds, run):
    table = {}
    for method in methods:
        tried = {rate: run(method, rate, choosing_seed) for rate in rates}  # stub: -
        best = min(tried, key=lambda rate: tried[rate])  # stub: best = rates[1]
        table[method] = [run(method, best, seed) for seed in seeds]
    return table


@dataclass
class Track:
    """Runs that cost nothing: each method has a valley over the rates, and diverges at the largest one."""

    runs: list[tuple[str, float, int]] = field(default_factory=list)

    def run(self, method: str, rate: float, seed: int) -> float:
        """Final excess; infinite where the run diverged."""
        if method not in BEST or rate not in RATES or seed not in LUCK:
            raise Wrong(
                f"You asked for run({method!r}, {rate!r}, {seed!r}): the method comes first, then one of the rates, "
                "then one of the seeds."
            )
        self.runs.append((method, rate, seed))
        return self.excess(method, rate, seed)

    @staticmethod
    def excess(method: str, rate: float, seed: int) -> float:
        """A valley over the rates, which the seed moves up or down."""
        if rate == RATES[-1]:
            return math.inf
        return round(2.0 + abs(math.log10(rate / BEST[method])) + LUCK[seed], 4)


def _check(answer: Solution) -> Verdict:
    track = Track()
    try:
        table = answer(list(BEST), list(RATES), CHOOSING, [*REPORTED], track.run)
        _check_runs(track)
        _check_table(table, track)
    except Wrong as wrong:
        return Verdict(False, wrong.message)
    return Verdict(
        True,
        f"{len(track.runs)} runs: every method tried at all {len(RATES)} rates with one seed, and reported with "
        f"{len(REPORTED)} others at its own best rate.",
    )


def _check_runs(track: Track) -> None:
    """Whether the rates were chosen as a fair race chooses them."""
    tried = {method: {rate for one, rate, _ in track.runs if one == method} for method in BEST}
    counts = [len(rates) for rates in tried.values()]
    if max(counts) == 0:
        raise Wrong("Nothing was run: `run(method, rate, seed)` makes one run and returns its final excess.")
    if max(counts) == 1:
        raise Wrong(
            f"Every method ran at the rate {track.runs[0][1]:g} alone. At one common rate you learn whom that rate "
            "suits: try each method at all of the rates, and choose."
        )
    if min(counts) < max(counts):
        poor, rich = min(BEST, key=lambda m: len(tried[m])), max(BEST, key=lambda m: len(tried[m]))
        raise Wrong(
            f"{rich} was tried at {len(tried[rich])} rates, {poor} at {len(tried[poor])}. Who gets more tries wins "
            "more often: the grid is the same for all."
        )
    if max(counts) < len(RATES):
        raise Wrong(f"There are {len(RATES)} rates, and you tried {max(counts)} of them.")
    peeked = {seed for _, rate, seed in track.runs if rate == RATES[-1] and seed != CHOOSING}
    if peeked:
        raise Wrong(
            f"At every rate you ran the seeds {sorted(peeked)}, which are reported, too. Who chooses and reports by "
            f"the same runs reports luck: choose with seed {CHOOSING} alone."
        )
    if len(track.runs) > len(set(track.runs)):
        raise Wrong("A run was made twice. The same method, rate and seed give the same number again: keep it.")


def _check_table(table: object, track: Track) -> None:
    """Whether what is reported is what a fair race reports."""
    if not isinstance(table, dict) or set(table) != set(BEST):
        raise Wrong(f"Return a dictionary from each method to its numbers; you returned {table!r}.")
    for method, values in table.items():
        right = [track.excess(method, BEST[method], seed) for seed in REPORTED]
        if isinstance(values, Sequence) and list(values) == right:
            continue
        raise Wrong(f"{method}: {_why(method, values, right)}")


def _why(method: str, values: object, right: list[float]) -> str:
    if isinstance(values, float):
        what = "a mean" if math.isclose(values, fmean(right)) else "one number"
        return f"you report {what}, {values:.3g}. Without its seeds, nobody can say which differences count."
    if not isinstance(values, Sequence) or not all(isinstance(value, float) for value in values):
        return f"report a list of numbers, one for each of the seeds {REPORTED}; you report {values!r}."
    if math.inf in values:
        return "you report runs that diverged: the best rate is the one with the least excess, not with the most."
    if Track.excess(method, BEST[method], CHOOSING) in values:
        return f"seed {CHOOSING} chose the rate, and you report it, too. It was chosen for its luck: leave it out."
    if len(values) != len(REPORTED):
        return f"you report {len(values)} numbers for {len(REPORTED)} seeds."
    if sorted(values) == sorted(right):
        return f"the numbers are right, but not in the order of the seeds {REPORTED}."
    return f"these are not the excesses at its best rate, {BEST[method]:g}. Which rate had the least excess?"


FAIR_RACE = Exercise(
    solution=fair_race,
    check=_check,
    difficulty="medium",
    minutes=15,
    stub_says="Every method ran at the rate 0.01 alone. At one common rate you learn whom that rate suits: try each "
    "method at all of the rates, and choose.",
)
