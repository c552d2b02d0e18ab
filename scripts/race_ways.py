"""Race other ways to a high rank against SHiRA and LoRA, all with r(m + n) parameters; keep every run in a log.

Each way is tuned over the same learning rates and then repeated with other seeds. DoRA and SHiRA under DoRA train m
parameters more on each weight. Run it again to resume: finished runs are read from the log.

    python scripts/race_ways.py shira_lab/course/comparison/ways.jsonl
"""

from compare import run_plan

from shira_lab.course.comparison.records import Cell, Protocol

PROTOCOL = Protocol(
    reference_world=None,
    steps=24,
    batch_size=4,
    eval_every=24,
    samples=0,
    learning_rates=(0.01, 0.03, 0.1, 0.3),
)
#: In the order in which they are run: a log cut short holds whole cells.
CELLS = [
    Cell("lora", r=8),
    Cell("shira", "random", 8),
    *(Cell(way, r=8) for way in ("hira", "fourier", "haar", "orthogonal", "dora", "gralora", "rosa")),
    Cell("shira", "magnitude", 8),
    Cell("shira_dora", r=8),
]


if __name__ == "__main__":
    run_plan(CELLS, PROTOCOL, str(__doc__))
