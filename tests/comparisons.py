"""A small comparison with made-up numbers: three methods, of which one diverges at large learning rates."""

from shira_lab.course.comparison.records import Cell, LayerRank, Protocol, Run, RunPoint
from shira_lab.course.comparison.results import Comparison

PROTOCOL = Protocol(
    steps=2, batch_size=1, eval_every=1, eval_stories=2, samples=2, learning_rates=(0.01, 0.03, 0.1), seeds=(0, 1, 2)
)
LORA, RANDOM, FULL = Cell("lora", r=8), Cell("shira", "random", 8), Cell("full")
TUNING = {LORA: (1.5, 0.8, None), RANDOM: (3.0, 1.4, 0.7), FULL: (0.3, 0.2, 0.9)}
BEST = {LORA: 0.03, RANDOM: 0.1, FULL: 0.03}
SEEDS = {LORA: (0.82, 0.84, 0.86), RANDOM: (0.72, 0.85, 0.74), FULL: (0.17, 0.19, 0.18)}
RANKS = {LORA: 8, RANDOM: 192, FULL: 191}


def a_run(cell: Cell, rate: float, seed: int, excess: float | None) -> Run:
    """A run of two steps that ended with this excess, or diverged."""
    if seed == PROTOCOL.tuning_seed:
        points = (RunPoint(0, 8.0, None), *([RunPoint(2, excess, None)] if excess is not None else []))
        return Run(cell, rate, seed, "finished" if excess else "diverged", 100, points, (), {}, 1.0)
    assert excess is not None
    points = (RunPoint(0, 8.0, 0.1), RunPoint(1, 4.0, 2.1), RunPoint(2, excess, 3.1))
    rank = RANKS[cell]
    ranks = (LayerRank("fc1", rank, rank / 8, rank / 2), LayerRank("fc2", rank - 2, rank / 8, rank / 2))
    consistency = {"hero": (20 + seed, 30), "mood": (1, 4), "home": (0, 0)}
    return Run(cell, rate, seed, "finished", 100, points, ranks, consistency, 1.0)


def a_comparison() -> Comparison:
    runs = []
    for cell, excesses in TUNING.items():
        for rate, excess in zip(PROTOCOL.learning_rates, excesses, strict=True):
            runs.append(a_run(cell, rate, PROTOCOL.tuning_seed, excess))
        runs += [a_run(cell, BEST[cell], seed, excess) for seed, excess in enumerate(SEEDS[cell])]
    return Comparison(PROTOCOL, tuple(runs))
