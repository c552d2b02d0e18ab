"""Work beside a slider: in a thread of its own, so that the picture that follows the slider never waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


class Aside(Generic[T]):
    """Runs ``work()`` in a thread, then ``then(result)`` in the notebook's own.

    One work at a time: what is asked for meanwhile waits, and only the newest of it. In a script, which has no loop,
    both run at once.
    """

    def __init__(self) -> None:
        # One thread of arithmetic: the other cores draw.
        self._thread = ThreadPoolExecutor(1, "shira-lab aside", initializer=torch.set_num_threads, initargs=(1,))
        self._running: asyncio.Future[T] | None = None
        self._now: tuple[Callable[[], T], Callable[[T], None]] | None = None
        self._next: tuple[Callable[[], T], Callable[[T], None]] | None = None

    def run(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do this after the work that is running, in place of what else waits."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            then(work())
            return
        self._next = work, then
        if self._running is None:
            self._start()

    def finish(self) -> None:
        """Do the newest work that has no result yet, now and here."""
        newest = self._next or self._now
        self.cancel()
        if newest:
            work, then = newest
            then(work())

    def cancel(self) -> None:
        """Forget what waits; what is running goes on, and its result is dropped."""
        self._now = self._next = None
        if self._running is not None:
            self._running.cancel()

    def _start(self) -> None:
        self._now, self._next = self._next, None
        if self._now is None:
            return
        work, then = self._now
        running = self._running = asyncio.get_running_loop().run_in_executor(self._thread, work)

        def ended(future: "asyncio.Future[T]") -> None:
            self._running = None
            self._start()
            if not future.cancelled():
                then(future.result())

        running.add_done_callback(ended)
