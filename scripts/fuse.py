"""Fuse pairs of adapters on the embedded model, and keep what was measured in a log.

Run it again to resume: finished runs are read from the log, trained adapters from the folder. At the end, one trained
pair is written beside the log, in half precision and the compact form, for the lesson.

    python scripts/fuse.py shira_lab/course/fusion/runs.jsonl adapters
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from shira_lab.adapters.model import PeftModel
from shira_lab.course.fusion.log import append_run, begin_log, read_log
from shira_lab.course.fusion.pair import SHIPPED
from shira_lab.course.fusion.records import PAIRS, Pair, Protocol
from shira_lab.course.fusion.run import adapter_names, run_pair
from shira_lab.models.hub import load_model

SHIPPED_PAIR = Pair("random", "other seed")


def ship(adapters: Path, folder: Path, protocol: Protocol) -> None:
    """Write the trained adapters of the shipped pair into the folder, each named after its world."""
    model = PeftModel(load_model(protocol.model)[0])
    names = adapter_names(SHIPPED_PAIR, protocol, protocol.seeds[0])
    for world, name in zip(protocol.worlds, names, strict=True):
        model.load_adapter(adapters / name, world)
    for _, layer in model.base_model.adapter_layers():
        layer.adapters.half()
    model.save_pretrained(folder, compact=True)


def ensure(log: Path, pair: Pair, protocol: Protocol, seed: int, adapters: Path) -> None:
    """Run this unless the log has it."""
    if any((run.pair, run.seed) == (pair, seed) for run in read_log(log).runs):
        return
    run = run_pair(pair, protocol, seed, adapters)
    append_run(log, run)
    clock, grown = time.strftime("%H:%M:%S"), run.growth()
    print(f"{clock} {pair.label:30} seed {seed}: {run.single:.3f} alone, {grown:+.3f} fused", flush=True)


def run_plan(pairs: Iterable[Pair], protocol: Protocol, about: str) -> tuple[Path, Path]:
    """Run what the log lacks of these pairs, seed after seed; returns the log and the folder of the adapters."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="file of the runs, begun or to be gone on with")
    parser.add_argument("adapters", type=Path, help="folder for the trained adapters")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    begin_log(arguments.log, protocol)
    arguments.adapters.mkdir(parents=True, exist_ok=True)
    for seed, pair in ((seed, pair) for seed in protocol.seeds for pair in pairs):
        ensure(arguments.log, pair, protocol, seed, arguments.adapters)
    return arguments.log, arguments.adapters


def main() -> None:
    protocol = Protocol()
    log, adapters = run_plan(PAIRS, protocol, str(__doc__))
    ship(adapters, log.parent / SHIPPED, protocol)


if __name__ == "__main__":
    main()
