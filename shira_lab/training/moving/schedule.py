"""When a mask moves, and how much of it: often and widely at first, then never again.

    share(t) = first / 2 * (1 + cos(pi * t / T)),    T = END * steps          (RigL, arXiv 1911.11134, section 3)

SpIEL's own share falls to zero in a straight line instead.
"""

import math
from dataclasses import dataclass

END = 0.75  # share of the steps after which the mask stays; RigL's


@dataclass(frozen=True)
class Schedule:
    """The swaps of a run.

    Args:
        steps: of the run.
        every: steps between two swaps.
        first: the share of the entries from which the share of a swap falls.

    >>> schedule = Schedule(steps=40, every=10, first=0.3)
    >>> [(step, round(schedule.share(step), 3)) for step in schedule.swaps]
    [(10, 0.225), (20, 0.075)]
    """

    steps: int
    every: int
    first: float

    @property
    def end(self) -> int:
        """The first step after which the mask stays."""
        return int(END * self.steps)

    @property
    def swaps(self) -> range:
        """The steps after which entries are swapped."""
        return range(self.every, self.end, self.every)

    def share(self, step: int) -> float:
        """The share of the entries that the swap after ``step`` moves."""
        return self.first / 2 * (1 + math.cos(math.pi * step / self.end))
