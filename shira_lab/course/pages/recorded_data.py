"""What a page shows of computations that were recorded: the comparison's runs, two adapters fused, a shelf of texts."""

import json
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from shira_lab.course.comparison.log import shipped
from shira_lab.course.comparison.measures import MEASURES
from shira_lab.course.comparison.results import Comparison
from shira_lab.course.widgets.comparison_rows import comparison_table

RECORDED = files("shira_lab.course.pages") / "recorded"
_KERNEL = '"make lab" in a copy of the repository, or the lessons on Binder.'


def comparison_data(comparison: Comparison | None = None) -> dict[str, Any]:
    """The table for each budget and measure as HTML, and the points of each cell's reported runs."""
    comparison = comparison or shipped()
    budgets = sorted({cell.r for cell in comparison.cells if cell.r is not None})
    protocol = comparison.protocol
    return {
        "tables": [
            {"r": r, "measure": name, "html": comparison_table(comparison, r, measure)}
            for r in budgets
            for name, measure in MEASURES.items()
        ],
        "cells": [
            {"family": cell.family, "r": cell.r, "label": cell.label,
             "runs": [asdict(run) for run in comparison.reported(cell)]}
            for cell in comparison.cells
        ],
        "world": protocol.world,
        "reference": protocol.reference_world,
        "steps": protocol.steps,
        "note": f"These runs are recorded. To run a cell again needs a kernel: {_KERNEL}",
    }  # fmt: skip


def fusion_data() -> dict[str, Any]:
    """What the fusion lab measured and generated at each pair of scales."""
    note = f"These scales are recorded. The scales between them need a kernel: {_KERNEL}"
    return {**_recorded("fusion.json"), "note": note}


def shelf_data() -> dict[str, Any]:
    """The texts of the base model and of the adapters on the lesson's shelf."""
    note = f"These texts are recorded. To switch adapters in a model needs a kernel: {_KERNEL}"
    return {"texts": _recorded("shelf.json"), "note": note}


def _recorded(name: str) -> Any:
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))
