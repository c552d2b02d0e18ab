"""``make bench``: one table of every cost beside its target, and the same as JSON.

python -m benchmarks [--only ROW ...] [--threads 2] [--out build/bench.json]
"""

import argparse
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path

import accelerate
import peft
import torch
import transformers

from benchmarks.memory_kept import keep_freed_memory
from benchmarks.rows import ROWS, Row, Value, measured
from benchmarks.slider import browser_path


def machine() -> dict[str, str]:
    """What the figures were made on."""
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "not set"),
        "accelerator": cuda,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
        "peft": peft.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _show(name: str, value: Value) -> str:
    if isinstance(value, float):
        return f"{name} {value:.2f}"
    unsettled = "" if value.settled else " (not settled)"
    interval = f"[{value.low:.3f}, {value.high:.3f}]"
    return f"{name} {value.median:.3f} {interval}, {1000 * value.seconds:.3g} ms{unsettled}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Costs beside their targets.")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args()
    if "slider" in options.only and browser_path() is None:
        names = " ".join(name for name in options.only if name != "slider")
        parser.error(f"the row slider needs Chromium: install it, or measure the others with --only {names}")
    torch.set_num_threads(options.threads)
    facts = machine() | {"freed memory": "kept" if keep_freed_memory() else "given back"}
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()))
    print("Ratios are medians of paired rounds, with the 95% interval of the median.\n")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    started = time.perf_counter()
    for name in options.only:
        for row in measured(name, options.threads):
            rows.append(row)
            verdict = {True: "met", False: "NOT met", None: ""}[row.met]
            print(f"{row.cost}, threads {row.threads}")
            print(f"    target {row.target}: {verdict}" if row.target else "    no target")
            print("".join(f"    {_show(side, value)}\n" for side, value in row.values.items()), flush=True)
            report = {"machine": facts, "rows": [asdict(row) for row in rows]}
            options.out.write_text(json.dumps(report, indent=1) + "\n")  # what is measured stays, whatever comes next
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
