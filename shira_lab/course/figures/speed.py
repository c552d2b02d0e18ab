"""Measured costs as pictures: each as a ratio, with its 95% interval, over what grows."""

from collections.abc import Callable, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.theme import BLUE, GREY, TEMPLATE, Figure
from shira_lab.course.speed.growth import MASK, STEP, SWITCH, Growth, Point

_SIDES = looks(("SHiRA", "LoRA", "dense gradient"))
Place = tuple[int, int]


def cost_growth_figure(growth: Growth) -> Figure:
    """Four plots: a training step over size, tokens and density; switching and building a mask over size."""
    titles = ("step over the size of the layer", "step over the tokens of a batch", "step over the density of the mask")
    figure = Figure(make_subplots(2, 2, subplot_titles=(*titles, "switch and mask over size"), vertical_spacing=0.2))
    plots: tuple[tuple[Place, str, str, Callable[[Point], float], str], ...] = (
        ((1, 1), STEP, "size", lambda point: point.m, "rows and columns of the weight"),
        ((1, 2), STEP, "tokens", lambda point: point.tokens, "tokens in a batch"),
        ((2, 1), STEP, "r", lambda point: 100 * point.density, "density of the mask (%)"),
    )
    for place, cost, along, x, title in plots:
        points = list(growth.series(cost, along))
        for side, look in _SIDES.items():
            curve = _curve(points, x, side, side, look.colour, look.symbol, showlegend=place == (1, 1))
            _add(figure, place, curve)
        _label(figure, place, title, "time / frozen layer's", [x(point) for point in points])
    for cost, name, colour, symbol in (
        (SWITCH, "switch / LoRA's", BLUE, "x"),
        (MASK, "mask / whole order", GREY, "star"),
    ):
        points = list(growth.series(cost, "size"))
        _add(figure, (2, 2), _curve(points, _mean_side, "SHiRA", name, colour, symbol, showlegend=True))
    _label(figure, (2, 2), "size: sqrt(m n)", "time / that of the other way", [_mean_side(point) for point in points])
    title = "What one adapted layer costs, as a ratio"
    return figure.update_layout(template=TEMPLATE, height=720, title_text=title, legend_y=-0.12, margin_t=80)


def _mean_side(point: Point) -> float:
    return (point.m * point.n) ** 0.5


def _curve(
    points: Sequence[Point], x: Callable[[Point], float], side: str, name: str, colour: str, symbol: str,
    showlegend: bool,
) -> go.Scatter:  # fmt: skip
    ratios = [point.ratios[side] for point in points]
    return go.Scatter(
        x=[x(point) for point in points],
        y=[median for median, _, _ in ratios],
        error_y={
            "symmetric": False,
            "array": [high - median for median, _, high in ratios],
            "arrayminus": [median - low for median, low, _ in ratios],
            "thickness": 1,
            "width": 3,
        },
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": 2},
        marker={"symbol": symbol, "size": 8},
        showlegend=showlegend,
    )


def _add(figure: Figure, place: Place, curve: go.Scatter) -> None:
    figure.add_trace(curve, row=place[0], col=place[1])


def _label(figure: Figure, place: Place, x: str, y: str, stops: Sequence[float]) -> None:
    row, col = place
    apart = [stops[0]]
    for stop in stops[1:]:
        if stop >= 1.45 * apart[-1]:  # closer labels would touch on the logarithmic axis
            apart.append(stop)
    names = [f"{stop:,.0f}" if stop >= 1 else f"{stop:.1f}" for stop in apart]
    figure.update_xaxes(row=row, col=col, type="log", title_text=x, tickvals=apart, ticktext=names, tickangle=0)
    figure.update_yaxes(row=row, col=col, title_text=y, rangemode="tozero")
