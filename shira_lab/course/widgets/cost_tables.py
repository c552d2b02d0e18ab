"""Costs and budgets as tables: the methods side by side, and the layers of a model grouped by name and shape."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

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


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    places = ["<", *(">" * (len(widths) - 1))]
    return "\n".join(
        "  ".join(f"{cell:{place}{width}}" for cell, place, width in zip(row, places, widths, strict=True))
        for row in rows
    )


def as_html(rows: Sequence[Sequence[str]], caption: str) -> str:
    """Rows as an HTML table whose first row and first column are headers."""
    cell = "padding:2px 0 2px 16px;text-align:{};font-weight:{};vertical-align:top"
    head = "".join(f'<th scope="col" style="{cell.format("right", 600)}">{escape(name)}</th>' for name in rows[0][1:])
    body = [f'<tr><th scope="col" style="{cell.format("left", 600)}">{escape(rows[0][0])}</th>{head}</tr>']
    for first, *others in rows[1:]:
        data = "".join(f'<td style="{cell.format("right", "normal")}">{escape(text)}</td>' for text in others)
        body.append(f'<tr><th scope="row" style="{cell.format("left", "normal")}">{escape(first)}</th>{data}</tr>')
    return (
        '<table style="border-collapse:collapse;line-height:1.5;font-variant-numeric:tabular-nums">'
        f'<caption style="text-align:left;font-weight:600;padding:0 0 4px 16px">{escape(caption)}</caption>'
        f"{''.join(body)}</table>"
    )
