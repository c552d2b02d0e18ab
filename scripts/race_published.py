"""Race the masks that were published as methods of their own, under the protocol of scripts/choose_positions.py.

Random, magnitude, gradient and SNIP ran there: one protocol makes one table of both logs. Run it again to resume:
finished runs are read from the log.

    python scripts/race_published.py shira_lab/course/comparison/published.jsonl
"""

from choose_positions import PROTOCOL, R
from compare import run_plan

from shira_lab.course.comparison.records import Cell

#: Beside "magnitude", which is Super-Tuning's other choice. Those that read samples read the usual 32.
CELLS = [Cell("shira", mask_type, R) for mask_type in ("smallest", "lift", "columns", "gradient_block", "wanda")]


if __name__ == "__main__":
    run_plan(CELLS, PROTOCOL, str(__doc__))
