"""Train masks that were calibrated on few or many samples, in both ways, beside masks that need none; keep every run.

The protocol is that of scripts/compare.py: each cell is tuned over the same learning rates and then repeated with other
seeds, which also draw other samples to calibrate on. Run it again to resume: finished runs are read from the log.

    python scripts/choose_positions.py shira_lab/course/comparison/positions.jsonl
"""

from compare import run_plan

from shira_lab.course.comparison.records import Cell, Protocol
from shira_lab.masks.calibration import Reduction

R = 4
#: Ways to calibrate, (samples, reduction): first those that change one thing at a time, then the rest.
CALIBRATIONS: tuple[tuple[tuple[int, Reduction], ...], ...] = (
    ((32, "mean_abs"), (32, "abs_mean"), (8, "mean_abs"), (128, "mean_abs")),
    ((8, "abs_mean"), (128, "abs_mean")),
)
PROTOCOL = Protocol(
    reference_world=None,
    steps=60,
    batch_size=4,
    eval_every=60,
    samples=0,
    learning_rates=(0.04, 0.08, 0.16, 0.32),
)


def cells() -> list[Cell]:
    """In the order in which they are run: a log cut short holds whole cells."""
    uncalibrated = [Cell("shira", mask_type, R) for mask_type in ("magnitude", "random")]
    calibrated = [
        Cell("shira", mask_type, R, samples, reduction)
        for group in CALIBRATIONS
        for mask_type in ("gradient", "snip")
        for samples, reduction in group
    ]
    return uncalibrated + calibrated


if __name__ == "__main__":
    run_plan(cells(), PROTOCOL, str(__doc__))
