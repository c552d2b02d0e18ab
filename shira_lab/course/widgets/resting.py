"""Work that waits until a slider rests, so that a drag is never followed by a queue of answers to its stops."""

import asyncio
from collections.abc import Callable, Iterable, Iterator

REST_SECONDS = 0.15
PAUSE_SECONDS = 0.01

Step = Callable[[], object]


class WhenResting:
    """Does work in steps, with a pause after each in which the learner's next move is heard and cancels the others."""

    def __init__(self, rest_seconds: float = REST_SECONDS) -> None:
        self._rest_seconds = rest_seconds
        self._waiting: asyncio.TimerHandle | None = None
        self._left: Iterator[Step] = iter(())

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return self._waiting is None

    def run(self, steps: Iterable[Step], at_once: bool = False) -> None:
        """Forget what is still to do, and do these steps after a rest; ``at_once``, or outside a notebook, now."""
        self.cancel()
        if at_once or not _in_a_loop():
            for step in steps:
                step()
        else:
            self._later(self._rest_seconds, iter(steps))

    def finish(self) -> None:
        """Do what is left, now."""
        if self._waiting:
            self.cancel()
            for step in self._left:
                step()

    def cancel(self) -> None:
        """Forget what is still to do."""
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None

    def _later(self, seconds: float, steps: Iterator[Step]) -> None:
        self._left = steps
        self._waiting = asyncio.get_running_loop().call_later(seconds, self._next)

    def _next(self) -> None:
        self._waiting = None
        steps = self._left
        step = next(steps, None)
        if step:
            step()
            self._later(PAUSE_SECONDS, steps)


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
