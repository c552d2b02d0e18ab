"""Measure how costs grow with the size of a layer, the tokens of a batch, and r; keep the facts of the machine.

    python scripts/grow.py shira_lab/course/speed/growth.jsonl

The file is written anew. Nothing else should run meanwhile.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.__main__ import machine
from shira_lab.course.logs import append_json_line
from shira_lab.course.speed.growth import MASK, STEP, SWITCH, Point
from shira_lab.course.speed.layer import ROWS, LayerSetting

USUAL = LayerSetting()
SQUARES = tuple(replace(USUAL, m=size, n=size) for size in (256, 512, 768, 1024, 2048, 4096))
#: The feed-forward layer of LLaMA2-7B.
LARGE = replace(USUAL, m=11008, n=4096)
PLAN: dict[tuple[str, str], tuple[LayerSetting, ...]] = {
    (STEP, "size"): SQUARES,
    (STEP, "tokens"): tuple(replace(USUAL, tokens=tokens) for tokens in (128, 256, 512, 1024, 2048, 4096)),
    # 4% of the weight at r = 16; 20% at r = 77.
    (STEP, "r"): tuple(replace(USUAL, r=r) for r in (1, 2, 4, 8, 16, 32, 64, 77, 100)),
    (SWITCH, "size"): (*SQUARES, LARGE),
    (MASK, "size"): (*SQUARES, LARGE),
}


def measure() -> Iterator[Point]:
    tasks = [(cost, along, setting) for (cost, along), settings in PLAN.items() for setting in settings]
    for cost, along, setting in tqdm(tasks, unit="point"):
        ratios = ROWS[cost](setting)
        yield Point(
            cost, along, setting.m, setting.n, setting.r, setting.tokens,
            {side: (round(r.median, 4), round(r.low, 4), round(r.high, 4)) for side, r in ratios.items()},
            {side: float(f"{r.seconds:.4g}") for side, r in ratios.items()},
        )  # fmt: skip


if __name__ == "__main__":
    path = Path(sys.argv[1])
    torch.set_num_threads(2)
    path.unlink(missing_ok=True)
    append_json_line(path, machine())
    for point in measure():
        append_json_line(path, point.to_dict())
