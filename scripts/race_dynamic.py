"""Race masks that move while they train against masks that stay; keep every run in a log.

Every cell reads the same batches in the same number of steps: what a mask follows, it takes from the gradients of these
steps. Each cell is tuned over the same learning rates and then repeated with other seeds. Those that move begin with a
random mask. Run it again to resume: finished runs are read from the log.

    python scripts/race_dynamic.py shira_lab/course/comparison/dynamic.jsonl
"""

from compare import run_plan

from shira_lab.course.comparison.records import Cell, Protocol
from shira_lab.training.settings import Moves

PROTOCOL = Protocol(
    reference_world=None,
    steps=48,
    batch_size=4,
    eval_every=48,
    samples=0,
    learning_rates=(0.025, 0.05, 0.1, 0.2, 0.4),
    swap_every=6,
)
#: By r, in the order in which they are run.
MOVES: dict[int, tuple[Moves, ...]] = {
    8: ("rigl", "learned", "spiel", "random"),
    2: ("learned", "random", "rigl", "spiel"),
}


def cells() -> list[Cell]:
    """In the order in which they are run: a log cut short holds whole cells."""
    raced = []
    for r, moves in MOVES.items():
        raced += [Cell("shira", "random", r), *(Cell("shira", "random", r, mask_moves=one) for one in moves)]
        raced += [Cell("shira", "magnitude", r)]
    return raced


if __name__ == "__main__":
    run_plan(cells(), PROTOCOL, str(__doc__))
