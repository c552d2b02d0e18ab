"""How many learners fit on one machine: memory that a kernel keeps after a lesson, and how long each learner waits.

    python scripts/learners.py                                    every lesson, one learner at a time
    python scripts/learners.py 1 5 --side-by-side 1 2 4 8         two lessons, with up to eight learners at once

Each learner has a kernel of its own, in which a lesson runs from its first cell to its last ("Run All Cells"). When all
have finished, and before any kernel ends, Linux says what each process holds:

    own       pages that no other process has: what one more learner costs
    share     own pages, and of those that several processes have this one's part: the sum over all is what is used
    resident  all pages that are in memory, shared ones counted in full
    peak      the most that was ever resident
"""

import argparse
import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from time import perf_counter

import nbformat
from nbclient import NotebookClient
from run_notebook import CELL_SECONDS, ENCRYPTED

LESSONS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@dataclass(frozen=True)
class Learner:
    """One kernel after its lesson: memory in MiB, and seconds from the start of the kernel to the last output."""

    own: float
    share: float
    resident: float
    peak: float
    seconds: float


def memory_of(pid: int) -> tuple[float, float, float, float]:
    """Own, share, resident and peak of a process, in MiB."""
    kib = {}
    for file in ("smaps_rollup", "status"):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            name, _, value = line.partition(":")
            if value.endswith(" kB"):
                kib[name] = int(value.split()[0])
    found = kib["Private_Clean"] + kib["Private_Dirty"], kib["Pss"], kib["Rss"], kib["VmHWM"]
    own, share, resident, peak = (value / 1024 for value in found)
    return own, share, resident, peak


def learn(lesson: Path, all_done: Barrier) -> Learner:
    """Run a lesson in a kernel of its own, and look at it when all are done."""
    client = NotebookClient(
        nbformat.read(lesson, as_version=4),
        config=ENCRYPTED,
        kernel_name="python3",
        timeout=4 * CELL_SECONDS,
        resources={"metadata": {"path": str(lesson.parent)}},
    )
    started = perf_counter()
    with client.setup_kernel(env={**os.environ, "SHIRA_LAB_PROGRESS": "off"}):
        try:
            for number, cell in enumerate(client.nb.cells):
                client.execute_cell(cell, number)
            seconds = perf_counter() - started
            all_done.wait()
            memory = memory_of(client.km.provisioner.pid)
            all_done.wait()
        except BaseException:
            all_done.abort()
            raise
    return Learner(*memory, seconds)


def side_by_side(lesson: Path, count: int) -> list[Learner]:
    all_done = Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(learn, lesson, all_done) for _ in range(count)]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and waiting of learners on one machine.")
    parser.add_argument("lessons", nargs="*", type=int, metavar="NUMBER", help="default: all")
    parser.add_argument("--side-by-side", nargs="+", type=int, default=[1], metavar="COUNT", help="default: 1")
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, {os.getloadavg()[0]:.1f} busy before")
    print("| lesson | learners | own, MiB | share, MiB | resident, MiB | peak, MiB | seconds, middle and longest |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for lesson in LESSONS:
        if asked.lessons and int(lesson.name[:2]) not in asked.lessons:
            continue
        for count in asked.side_by_side:
            learners = side_by_side(lesson, count)
            own, share, resident, peak, seconds = (
                statistics.median(getattr(one, name) for one in learners)
                for name in ("own", "share", "resident", "peak", "seconds")
            )
            longest = max(one.seconds for one in learners)
            memory = " | ".join(f"{value:.0f}" for value in (own, share, resident, peak))
            print(f"| {lesson.stem} | {count} | {memory} | {seconds:.0f}, {longest:.0f} |", flush=True)


if __name__ == "__main__":
    main()
