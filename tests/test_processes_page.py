"""The page on more than one process has the numbers of the budget tool."""

from pathlib import Path

import pytest

from shira_lab.analysis.costs import in_units
from shira_lab.models.architectures import find_architecture

PAGE = Path(__file__).parent.parent / "docs/more-than-one-process.md"
TARGETS = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]
MODELS = {"meta-llama/Llama-2-7b-hf": (1, 8), "meta-llama/Llama-2-70b-hf": (8, 16)}


def rows(model: str) -> list[str]:
    architecture = find_architecture(model)
    cost = architecture.costs(32, architecture.shapes(TARGETS), tokens=2048)["SHiRA"]
    found = []
    for gpus in MODELS[model]:
        weights, moving = cost.weights / gpus, cost.gradients + cost.optimizer
        together = weights + cost.adapter + moving + cost.activations
        sizes = " | ".join(in_units(size) for size in (weights, cost.adapter, moving, cost.activations, together))
        found.append(f"| {model.rpartition('/')[2]} | {gpus} | {sizes} |")
    return found


@pytest.mark.parametrize("model", MODELS)
def test_the_memory_on_the_page_is_that_of_the_budget_tool(model: str) -> None:
    page = PAGE.read_text(encoding="utf-8").splitlines()
    assert all(row in page for row in rows(model)), rows(model)
