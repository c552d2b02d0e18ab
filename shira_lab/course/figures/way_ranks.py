"""How strong each direction of an update is, beside LoRA's, and where a rank law ends."""

from collections.abc import Sequence

from shira_lab.course.figures.chart import Chart, Line
from shira_lab.course.figures.methods import LOOKS, looks

DIRECTION, STRENGTH = "direction, the strongest first", "singular value / the largest"


def way_ranks_svg(name: str, values: Sequence[float], lora: Sequence[float], bound: int) -> str:
    """Singular values of an update of the way ``name`` and of LoRA's, each over its largest; dashed, the rank law."""
    sides = {name: (values, looks([name])[name].colour), "LoRA": (lora, LOOKS["LoRA"].colour)}
    lines = [
        Line(range(1, len(side) + 1), [value / side[0] for value in side], label, colour, dots=True)
        for label, (side, colour) in sides.items()
    ]
    law = Line([bound, bound], [0.0, 1.0], f"law: {bound}", sides[name][1], width=1.5, dash=True)
    return Chart(
        f"Directions of a random update: {name} and LoRA", DIRECTION, STRENGTH, len(values), [*lines, law]
    ).svg()
