"""An exercise of the lesson on several adapters: the two scales at which no world pays for the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.trials import Wrong

MOST = 50  # measurements
NEAR = 0.15  # nats/token
FINE = [step / 20 for step in range(21)]


def best_scales(measure):
    steps = [step / 6 for step in range(7)]  # stub: -
    worse = {(s1, s2): max(measure(s1, s2)) for s1 in steps for s2 in steps}  # stub: -
    return min(worse, key=lambda scales: worse[scales])  # stub: return 1.0, 1.0


@dataclass
class Pair:
    """Two adapters that cost nothing to measure: each learns its world with its scale, and harms the other's.

    Attributes:
        harm: what the first does to the second world at full scale, and the second to the first, in nats/token.
        asked: how often they were measured.
    """

    name: str
    harm: tuple[float, float]
    asked: int = field(default=0)

    def measure(self, first: float, second: float) -> tuple[float, float]:
        """Excess on each world."""
        self.asked += 1
        if self.asked > MOST:
            raise Wrong(
                f"You asked for more than {MOST} measurements. Each reads the stories of two worlds: take wider steps, "
                "or look closely only around the best of the wide ones."
            )
        return self.excess(first, second)

    def excess(self, first: float, second: float) -> tuple[float, float]:
        """:meth:`measure`, uncounted."""
        return (
            0.8 + 7 * (1 - first) ** 2 + self.harm[1] * second**2,
            0.8 + 7 * (1 - second) ** 2 + self.harm[0] * first**2,
        )

    def best(self, score: Callable[[tuple[float, float]], float]) -> tuple[float, float]:
        """The scales of a fine grid with the least score."""
        return min(((one, two) for one in FINE for two in FINE), key=lambda place: score(self.excess(*place)))


PAIRS = (("two equals", (4.0, 4.0)), ("a strong first adapter", (9.0, 1.0)), ("a strong second one", (2.0, 8.0)))


def _check(answer: Solution) -> Verdict:
    for name, harm in PAIRS:
        pair = Pair(name, harm)
        try:
            _check_place(answer(pair.measure), pair)
        except Wrong as wrong:
            return Verdict(False, f"{wrong.message} (Tried: {pair.name}.)")
    return Verdict(
        True, f"{len(PAIRS)} pairs of adapters: the worse of the two worlds is within {NEAR:g} nats/token of its best."
    )


def _check_place(place: Any, pair: Pair) -> None:
    if not isinstance(place, tuple | list) or len(place) != 2 or not all(isinstance(s, int | float) for s in place):
        raise Wrong(f"Return two scales, (s1, s2); your function returned {place!r}.")
    first, second = place
    if not (0 <= first <= 1 and 0 <= second <= 1):
        raise Wrong(f"Scales lie between 0 and 1; yours are {first:g} and {second:g}.")
    best = pair.best(max)
    least, worse = max(pair.excess(*best)), max(pair.excess(first, second))
    if worse > least + NEAR:
        raise Wrong(_why((first, second), pair, f"{worse:.2f}", f"({best[0]:g}, {best[1]:g}) gives {least:.2f}"))


def _why(place: tuple[float, float], pair: Pair, worse: str, better: str) -> str:
    """What is probably behind two scales that are not the best ones."""
    at = f"({place[0]:.2g}, {place[1]:.2g})"
    says = f"At {at} the worse of the two worlds has an excess of {worse}, and {better}."
    if min(place) == 1:
        return f"{says} Full strength is how each was trained alone: measure, and choose."
    if max(pair.excess(*reversed(place))) <= max(pair.excess(*pair.best(max))) + NEAR:
        return f"{says} Turned round, your scales would be right: the first one belongs to the first adapter."
    if min(place) == 0:
        return f"{says} One adapter is off, so its world is as the base model leaves it: look at the worse world."
    if place[0] == place[1]:
        return f"{says} You gave both the same scale; these two want different ones."
    if sum(pair.excess(*place)) <= sum(pair.excess(*pair.best(sum))) + NEAR:
        return f"{says} The mean of the two is low there, but one world pays for the other: look at the worse one."
    return f"{says} Is your grid fine enough, and do you take the least?"


BEST_SCALES = Exercise(
    solution=best_scales,
    check=_check,
    difficulty="medium",
    minutes=12,
    stub_says="At (1, 1) the worse of the two worlds has an excess of 4.80, and (0.65, 0.65) gives 3.35. Full "
    "strength is how each was trained alone: measure, and choose. (Tried: two equals.)",
)
