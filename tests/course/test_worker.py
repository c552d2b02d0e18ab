"""Whoever waits for a worker goes on, whatever happens to the work, to the app that hears of it, or to the loop."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as TooLate
from typing import Any

import pytest

from shira_lab.course.widgets.worker import Worker


def broken(result: int | None, error: BaseException | None) -> None:
    raise RuntimeError("the figure is closed")


def failing(worker: Worker[int]) -> int:
    raise KeyError("the work failed")


def in_time(worker: Worker[Any]) -> Any:
    """What ``result`` returns or raises; a TimeoutError where it would wait for ever."""
    worker._future.exception(timeout=20)
    return worker.result()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is shown as well
@pytest.mark.parametrize("work", [lambda worker: 42, failing], ids=["work ends", "work fails"])
def test_a_script_is_told_what_the_end_of_the_work_raised(work: Callable[[Worker[int]], int]) -> None:
    worker = Worker(work, broken)
    with pytest.raises(RuntimeError, match="the figure is closed"):
        in_time(worker)
    assert not worker.running


@pytest.mark.parametrize("work", [lambda worker: 42, failing], ids=["work ends", "work fails"])
def test_a_notebook_is_told_what_the_end_of_the_work_raised(work: Callable[[Worker[int]], int]) -> None:
    async def cell() -> None:
        worker = Worker(work, broken)
        with pytest.raises(RuntimeError, match="the figure is closed"):
            await asyncio.wait_for(worker.finished(), 20)
        assert not worker.running

    asyncio.run(cell())


def test_a_worker_whose_loop_is_closed_meanwhile_ends_all_the_same() -> None:
    go, heard = threading.Event(), []

    def work(worker: Worker[int]) -> int:
        go.wait(20)
        worker.tell(lambda: heard.append("told"))
        return 42

    async def start() -> Worker[int]:
        return Worker(work, lambda result, error: heard.append(result))

    worker = asyncio.run(start())
    go.set()
    assert in_time(worker) == 42
    assert heard == ["told", 42] and not worker.running


def test_a_worker_whose_loop_is_closed_before_it_came_to_the_end_ends_all_the_same() -> None:
    async def start() -> Worker[int]:
        worker = Worker(lambda worker: 42, lambda result, error: None)
        time.sleep(0.1)  # the end of the work waits for its turn in the loop
        return worker

    loop = asyncio.new_event_loop()
    worker = loop.run_until_complete(start())
    loop.close()
    assert in_time(worker) == 42


def test_a_worker_that_goes_on_is_waited_for() -> None:
    go = threading.Event()
    worker = Worker(lambda worker: go.wait(20), lambda result, error: None)
    with pytest.raises(TooLate):
        worker._future.result(timeout=0.05)
    assert worker.running
    go.set()
    assert in_time(worker) is True
