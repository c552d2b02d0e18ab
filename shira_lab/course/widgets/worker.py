"""A function in a thread of its own, so that the notebook's loop stays free for the Stop button and for the figure.

A plain loop in a cell would keep every button press waiting until it has ended.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, Generic, TypeVar, cast

from shira_lab.errors import ShiraError

T = TypeVar("T")
#: Seconds after which a worker that waits for its loop looks whether the loop was closed.
LOOK_AGAIN = 0.2


class Worker(Generic[T]):
    """Runs ``work(worker)`` in a thread, then calls ``done(result, error)``, of which one is None.

    Start it in a cell, a widget's callback or a script. In a notebook ``done`` and what is passed to :meth:`tell` are
    called in the notebook's own thread, in order; in the worker's where there is no loop, as in a script, or where the
    loop was closed meanwhile. What ``done`` raises is raised by :meth:`result` and :meth:`finished`.
    """

    def __init__(
        self, work: Callable[["Worker[T]"], T], done: Callable[[T | None, BaseException | None], None]
    ) -> None:
        self._work, self._done = work, done
        self._stop = threading.Event()
        self._future: Future[T] = Future()
        self._loop = _running_loop()
        self._pending: Callable[[], None] | None = None
        threading.Thread(target=self._run, daemon=True, name="shira-lab worker").start()

    @property
    def running(self) -> bool:
        return not self._future.done()

    def stop(self) -> None:
        """Ask the work to end; asking twice is asking once."""
        self._stop.set()

    def should_stop(self) -> bool:
        return self._stop.is_set()

    def tell(self, message: Callable[[], None]) -> None:
        """Have ``message`` called; of several that wait for their turn, only the newest."""
        waiting, self._pending = self._pending, message
        if waiting is None:
            self._call(self._deliver)

    def result(self) -> T:
        """Wait, and return what the work returned, or raise what it or ``done`` raised. For scripts; an interrupt stops
        the work.

        Raises:
            ShiraError: in a notebook, whose buttons and figures would stand still meanwhile.
        """
        if self.running and _running_loop() is not None:
            raise ShiraError("Waiting here would block the notebook; write `await app.finished()` instead.")
        try:
            return self._future.result()
        except KeyboardInterrupt:
            self.stop()
            raise

    async def finished(self) -> T:
        """As :meth:`result`, while buttons and figures stay alive. Interrupting the cell stops the work."""
        try:
            return await asyncio.shield(asyncio.wrap_future(self._future))
        except asyncio.CancelledError:
            self.stop()
            raise

    def _run(self) -> None:
        outcome: tuple[T | None, BaseException | None]
        try:
            outcome = self._work(self), None
        except BaseException as error:
            outcome = None, error
        self._call(self._finish, *outcome)
        # A loop that is closed before it came to the call never will; nobody should wait for it.
        while self._loop is not None and not wait([self._future], timeout=LOOK_AGAIN).done:
            if self._loop.is_closed():
                self._finish(*outcome)

    def _finish(self, result: T | None, error: BaseException | None) -> None:
        """Call ``done``, and let those go on who wait, also when it raises."""
        try:
            self._done(result, error)
        except BaseException as failure:
            self._future.set_exception(failure)
            raise  # shown at once, for perhaps nobody waits
        else:
            if error is None:
                self._future.set_result(cast(T, result))
            else:
                self._future.set_exception(error)

    def _deliver(self) -> None:
        message, self._pending = self._pending, None
        if message is not None:
            message()

    def _call(self, function: Callable[..., None], *args: Any) -> None:
        """Call the function in the loop's thread; in this one where there is no loop, or none any more."""
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(function, *args)
                return
            except RuntimeError:  # the loop was closed
                pass
        function(*args)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
