"""Compare SHiRA's masks, LoRA and full fine-tuning on the embedded model, and keep every run in a log.

Each cell is tuned over the same learning rates and then repeated with other seeds. Run it again to resume: finished
runs are read from the log. The cells that matter most come first, so that a log cut short holds a smaller whole table.

    python scripts/compare.py shira_lab/course/comparison/runs.jsonl
"""

import argparse
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from shira_lab.course.comparison.log import append_run, begin_log, read_log
from shira_lab.course.comparison.records import Cell, Protocol
from shira_lab.course.comparison.run import run_cell

MASKS = ("random", "magnitude", "row_col", "snip", "gradient", "struct")


def cells() -> list[Cell]:
    """In the order in which they are run: r = 8 for all, then for each method the ends of the range of r."""
    methods = [Cell("lora"), *(Cell("shira", mask_type) for mask_type in MASKS)]
    middle = [replace(cell, r=8) for cell in methods]
    return [*middle, Cell("full"), *(replace(cell, r=r) for cell in methods for r in (2, 16))]


def ensure(log: Path, cell: Cell, protocol: Protocol, learning_rate: float, seed: int) -> None:
    """Run this unless the log has it."""
    if any((run.cell, run.learning_rate, run.seed) == (cell, learning_rate, seed) for run in read_log(log).runs):
        return
    run = run_cell(cell, protocol, learning_rate, seed, on_event=lambda _: None)
    append_run(log, run)
    clock = time.strftime("%H:%M:%S")
    print(f"{clock} {cell.label:24} rate {learning_rate:<6g} seed {seed:3}: {run.status}, {run.excess:.3f}", flush=True)


def run_plan(cells: Iterable[Cell], protocol: Protocol, about: str) -> None:
    """Run what the log named on the command line lacks of these cells."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="file of the runs, begun or to be gone on with")
    log = parser.parse_args().log
    torch.set_num_threads(1)
    begin_log(log, protocol)
    for cell in cells:
        for rate in protocol.rates(cell):
            ensure(log, cell, protocol, rate, protocol.tuning_seed)
        rate = read_log(log).best_rate(cell)
        for seed in protocol.seeds:
            ensure(log, cell, protocol, rate, seed)


if __name__ == "__main__":
    run_plan(cells(), Protocol(), str(__doc__))
