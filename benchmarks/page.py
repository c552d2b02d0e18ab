"""The table as Markdown, for the documentation: ``python -m benchmarks.page build/bench.json``."""

import json
import sys
from pathlib import Path
from typing import Any

HEAD = "| cost | threads | target | measured | met |\n|---|---|---|---|---|"
VERDICT = {True: "yes", False: "**no**", None: ""}


def page(report: dict[str, Any]) -> str:
    """A line for each row of a report that ``python -m benchmarks`` wrote, the machine's facts below."""
    facts = ", ".join(f"{name} {fact}" for name, fact in report["machine"].items())
    lines = (
        f"| {row['cost']} | {row['threads']} | {row['target']} | {_values(row['values'])} | {VERDICT[row['met']]} |"
        for row in report["rows"]
    )
    return "\n".join([HEAD, *lines, "", f"Measured on: {facts}."])


def _values(values: dict[str, Any]) -> str:
    return ", ".join(f"{side} {_value(value)}" for side, value in values.items() if not _is_reference(value))


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value['median']:.3g} ({value['low']:.3g}-{value['high']:.3g})"


def _is_reference(value: Any) -> bool:
    """What the others are compared with: its ratio to itself says nothing."""
    return not isinstance(value, float) and value["low"] == value["high"] == 1


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
