"""Costs and budgets as tables: the methods side by side, and the layers of a model grouped by name and shape."""

from collections import Counter
from collections.abc import Mapping

from shira_lab.analysis.costs import Cost, in_units
from shira_lab.budget import Shape, density, max_r, num_params
from shira_lab.course.figures.budget import ADVICE

#: Rows of the table of costs: what it is called, and the attribute of the cost.
_SIZES = {
    "model's weights": "weights",
    "adapter": "adapter",
    "gradients": "gradients",
    "AdamW's moments": "optimizer",
    "activations": "activations",
    "memory to train": "memory",
    "file, PEFT's layout": "file",
    "file, compact form": "compact_file",
}
_LAYER_COLUMNS = ("layers", "weight", "trained in each", "density", "largest r", f"largest r within {ADVICE:.0%}")


def cost_rows(costs: Mapping[str, Cost], parameters: int) -> list[tuple[str, ...]]:
    """A header, and a row for each kind of cost with a column for each method.

    Args:
        parameters: of the whole model.
    """
    rows = [("", *costs), ("trainable parameters", *(f"{cost.trained:,}" for cost in costs.values()))]
    rows.append(("share of the model", *(f"{cost.trained / parameters:.2%}" for cost in costs.values())))
    rows += [(name, *(in_units(getattr(cost, size)) for cost in costs.values())) for name, size in _SIZES.items()]
    return rows


def layer_rows(shapes: Mapping[str, Shape], r: int) -> list[tuple[str, ...]]:
    """A header, and a row for each group of layers that share their last name and their shape.

    Args:
        shapes: (m, n) by path.
    """
    groups = Counter((path.rsplit(".", 1)[-1], shape) for path, shape in shapes.items())
    rows: list[tuple[str, ...]] = [_LAYER_COLUMNS]
    for (name, shape), count in groups.items():
        m, n = shape
        share = density(r, shape)
        advice = "" if share <= ADVICE else f" (above {ADVICE:.0%})"
        within = int(ADVICE * max_r(shape))
        rows.append(
            (
                f"{count} x {name}",
                f"{m:,} x {n:,}",
                f"{num_params(r, shape):,}",
                f"{share:.2%}{advice}",
                f"{max_r(shape):,}",
                f"{within:,}" if within else "none",
            )
        )
    return rows
