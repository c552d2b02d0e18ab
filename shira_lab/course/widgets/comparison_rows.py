"""A comparison as an HTML table: one row a method, its seeds as dots on a common scale, fresh runs beside them."""

from collections.abc import Sequence
from html import escape

from shira_lab.course.comparison.measures import Measure
from shira_lab.course.comparison.records import Cell, Run
from shira_lab.course.comparison.results import Comparison, Spread
from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.theme import GREY

_WIDTH, _HEIGHT, _MARGIN = 240, 22, 8
_HEAD, _ROW, _NEW = (
    f'style="text-align:left;vertical-align:bottom;padding:3px 12px 3px 0;font-weight:{weight};white-space:{wrap}"'
    for weight, wrap in ((600, "normal"), ("normal", "nowrap"), (600, "nowrap"))
)


def comparison_table(comparison: Comparison, r: int, measure: Measure, fresh: Sequence[Run] = ()) -> str:
    """The cells with this r, the best first.

    Args:
        fresh: runs to be shown beside the shipped ones of their cells.
    """
    spreads = {cell: comparison.over_seeds(cell, measure.of) for cell in comparison.with_budget(r)}
    cells = sorted(spreads, key=lambda cell: spreads[cell].mean, reverse=measure.better != "low")
    new = {cell: [measure.of(run) for run in fresh if run.cell == cell] for cell in cells}
    values = [value for cell in cells for value in (*spreads[cell].values, *new[cell])]
    top = max(values, default=1.0) or 1.0
    last = f"each seed, from 0 to {top:.3g}"
    head = ("method", "trainable parameters", "learning rate", "mean and deviation", last, "fresh run")
    header = "".join(f'<th scope="col" {_HEAD}>{escape(title)}</th>' for title in head)
    look = looks(cell.family for cell in comparison.cells)
    body = "".join(
        _row(comparison, cell, spreads[cell], new[cell], measure, top, look[cell.family].colour) for cell in cells
    )
    at_edge = any(comparison.at_edge(cell) for cell in cells)
    edge = "; edge: the best learning rate is the smallest or the largest that was tried" if at_edge else ""
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;line-height:1.4">'
        f'<caption style="text-align:left;padding:4px 0">{escape(measure.title)}, r = {r}{edge}</caption>'
        f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(
    comparison: Comparison, cell: Cell, spread: Spread, fresh: list[float], measure: Measure, top: float, colour: str
) -> str:
    rate = f"{comparison.best_rate(cell):g}" + (" (edge)" if comparison.at_edge(cell) else "")
    trained = f"{comparison.reported(cell)[0].trainable:,}"
    digits = measure.digits
    mean = f"{spread.mean:.{digits}f} ± {spread.deviation:.{digits}f}"
    texts = [trained, rate, mean]
    plain = "".join(f"<td {_ROW}>{escape(text)}</td>" for text in texts)
    beside = ", ".join(f"{value:.{digits}f}" for value in fresh)
    return (
        f'<tr><th scope="row" {_ROW}>{escape(cell.family)}</th>{plain}'
        f"<td>{_strip(spread, fresh, digits, top, colour)}</td><td {_NEW}>{beside}</td></tr>"
    )


def _strip(spread: Spread, fresh: list[float], digits: int, top: float, colour: str) -> str:
    """The seeds as dots, their mean as a stroke, fresh runs as diamonds, all in the method's colour."""
    middle = _HEIGHT / 2

    def x(value: float) -> float:
        return _MARGIN + value / top * (_WIDTH - 2 * _MARGIN)

    dots = "".join(
        f'<circle cx="{x(value):.1f}" cy="{middle}" r="4" fill="{colour}" fill-opacity="0.6"/>'
        for value in spread.values
    )
    diamonds = "".join(
        f'<path d="M{x(value):.1f} {middle - 7}l6 7l-6 7l-6 -7z" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        for value in fresh
    )
    mean = x(spread.mean)
    said = "seeds " + ", ".join(f"{value:.{digits}f}" for value in spread.values)
    said += "".join(f", fresh {value:.{digits}f}" for value in fresh)
    axis = f'<path d="M{_MARGIN} {middle}H{_WIDTH - _MARGIN}" stroke="{GREY}" stroke-opacity="0.4"/>'
    stroke = f'<path d="M{mean:.1f} 2V{_HEIGHT - 2}" stroke="{colour}" stroke-width="2"/>'
    size = f'width="{_WIDTH}" height="{_HEIGHT}" style="vertical-align:middle"'
    return f'<svg role="img" aria-label="{said}" {size}>{axis}{stroke}{dots}{diamonds}</svg>'
