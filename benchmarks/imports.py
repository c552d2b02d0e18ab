"""How long imports take, each in a fresh interpreter."""

import subprocess
import sys

from shira_lab.course.speed.timing import Ratio, interleave

STATEMENTS = {
    "torch": "import torch",
    "shira_lab": "import shira_lab",
    "mask explorer": "from shira_lab.course.widgets import MaskExplorer",
    # With transformers, which loads its model and trains it.
    "fine-tune lab": "from shira_lab.course.widgets import FineTuneLab",
}


def import_ratios(patience_s: float = 120.0) -> dict[str, Ratio]:
    """Each statement's time over that of ``import torch``."""

    def fresh(statement: str) -> None:
        subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True)

    sides = {name: lambda s=statement: fresh(s) for name, statement in STATEMENTS.items()}
    return interleave(sides, "torch", min_rounds=9, patience_s=patience_s, warmup=1)
