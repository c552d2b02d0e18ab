"""How long imports take, each in a fresh interpreter."""

import subprocess
import sys

from shira_lab.speed.timing import Ratio, interleave


def import_ratios(patience_s: float = 60.0) -> dict[str, Ratio]:
    """``import shira_lab`` and the widgets' import over ``import torch``."""

    def fresh(module: str) -> None:
        subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {module}"], check=True)

    modules = {"torch": "torch", "shira_lab": "shira_lab", "shira_lab.widgets": "shira_lab.widgets"}
    sides = {name: lambda m=module: fresh(m) for name, module in modules.items()}
    return interleave(sides, "torch", min_rounds=9, patience_s=patience_s, warmup=1)
