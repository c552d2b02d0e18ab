"""The second exercise of the lesson on speed: a fair ratio of two times, on a machine that also does other things."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict

ROUNDS = 20
TRUTH = 2.0


def fair_ratio(one, two, rounds, clock):
    """How many times as long as `two()` does `one()` take? The median of `rounds` ratios; `clock()` gives seconds."""

    def seconds(work):
        began = clock()
        work()
        return clock() - began

    seconds(one), seconds(two)  # stub: -
    ratios = []  # stub: -
    for turn in range(rounds):  # stub: -
        time = {work: seconds(work) for work in ((one, two) if turn % 2 else (two, one))}  # stub: -
        ratios.append(time[one] / time[two])  # stub: -
    return statistics.median(ratios)  # stub: return seconds(one) / seconds(two)


@dataclass
class Machine:
    """A machine with a clock of its own, on which ``one`` takes twice as long as ``two``.

    Attributes:
        slowness: by how much it is slowed down at the n-th call of all, from 0.
        calls: what was called, in order.
    """

    slowness: Callable[[int], float] = lambda number: 1.0
    now: float = 0.0
    asked: int = 0
    calls: list[str] = field(default_factory=list)

    def clock(self) -> float:
        self.asked += 1
        return self.now

    def one(self) -> None:
        self._work("one", TRUTH)

    def two(self) -> None:
        self._work("two", 1.0)

    def _work(self, name: str, seconds: float) -> None:
        self.now += seconds * self.slowness(len(self.calls))
        self.calls.append(name)


#: How a machine spoils a time, and what to do about it; in how many rounds.
MACHINES: dict[str, tuple[int, Callable[[int], float]]] = {
    "where the very first call takes fifty times as long, as it loads what it needs. Call each once before you "
    "measure": (1, lambda number: 50.0 if number == 0 else 1.0),
    "which becomes slower while it gets hot. Take both times of a ratio in one round, one right after the other": (
        ROUNDS,
        lambda number: 1.0 + 0.02 * number,
    ),
    "where something else takes over for a moment, again and again. A mean follows such a moment, a median does not: "
    "take that of all rounds": (
        ROUNDS,
        lambda number: 300.0 if number % 5 == 2 else 1.0,
    ),
}


def _check(answer: Solution) -> Verdict:
    quiet = Machine()
    ratio = answer(quiet.one, quiet.two, ROUNDS, quiet.clock)
    if not isinstance(ratio, int | float):
        return Verdict(False, f"One number is asked for; got a {type(ratio).__name__}.")
    if not quiet.asked:
        return Verdict(False, "The time is not taken from `clock()`: call it before and after.")
    if abs(ratio * TRUTH - 1) < 0.05:
        return Verdict(False, f"Upside down: you give {ratio:.2f}, and `one` takes {TRUTH:g} times as long as `two`.")
    if abs(ratio - TRUTH) > 0.05:
        return Verdict(False, f"You give {ratio:.2f} on a quiet machine; `one` takes {TRUTH:g} times as long as `two`.")
    for name in ("one", "two"):
        if quiet.calls.count(name) < ROUNDS:
            return Verdict(
                False,
                f"`{name}` is called {quiet.calls.count(name)} times for {ROUNDS} rounds: measure both in each round, "
                "and keep all ratios.",
            )
    for what, (rounds, slowness) in MACHINES.items():
        machine = Machine(slowness)
        ratio = answer(machine.one, machine.two, rounds, machine.clock)
        if abs(ratio - TRUTH) > 0.1:
            return Verdict(False, f"You give {ratio:.2f} where {TRUTH:g} is true, on a machine {what}.")
    if len({quiet.calls[at] for at in range(len(quiet.calls) % 2 + 2, len(quiet.calls), 2)}) == 1:
        return Verdict(
            False,
            "The same one goes first in each round: what the first leaves behind, such as warm caches, helps the "
            "second. "
            "Change the order from round to round.",
        )
    return Verdict(True, "A fair ratio: warmed up, in rounds, in changing order, and no single bad moment counts.")


FAIR_RATIO = Exercise(
    solution=fair_ratio,
    check=_check,
    difficulty="medium",
    minutes=12,
    stub_says="`one` is called 1 times for 20 rounds: measure both in each round, and keep all ratios.",
)
