"""A comparison as pictures: every seed of every cell, what was forgotten on the way, and what the ranks explain.

Colours are those of the methods, budgets are grey; a symbol goes with each, so that colour alone never decides.
"""

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Final

import plotly.graph_objects as go

from shira_lab.course.comparison.measures import EFFECTIVE_RANK, EXCESS, Measure
from shira_lab.course.comparison.records import Cell, Run
from shira_lab.course.comparison.results import Comparison
from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.theme import BLACK, GREY, Figure, themed

#: Of the budgets, which stand beside each other in the row of each method: colours are for methods.
_TONES, _SYMBOLS = ("#999999", GREY, "#333333"), ("circle", "square", "diamond")
_DASHES = {"LoRA": "dash", "full": "dot"}
_ROW = 46  # pixels of a row
_ONE_TWO_FIVE = [digit * 10.0**power for power in range(-2, 4) for digit in (1, 2, 5)]
_LOG: Final = {"type": "log", "tickvals": _ONE_TWO_FIVE, "ticktext": [f"{value:g}" for value in _ONE_TWO_FIVE]}


def seeds_figure(comparison: Comparison, measure: Measure = EXCESS) -> Figure:
    """Each seed of each cell as a point, the mean with its deviation beside it; one row for each method, best first."""
    families = _ranked_families(comparison, measure)
    budgets = sorted({cell.r for cell in comparison.cells if cell.r is not None})
    height = {family: len(families) - 1 - place for place, family in enumerate(families)}
    traces = []
    every_r = [*budgets, None] if any(cell.r is None for cell in comparison.cells) else budgets
    for number, r in enumerate(every_r):
        cells = [cell for cell in comparison.cells if cell.r == r]
        shift = 0.22 * ((len(budgets) - 1) / 2 - number) if r is not None else 0.0
        budget = {"color": _TONES[number % len(_TONES)], "symbol": _SYMBOLS[number % len(_SYMBOLS)]}
        look = {"color": BLACK, "symbol": "hexagon"} if r is None else budget
        rows = [height[cell.family] + shift for cell in cells]
        traces += _seed_traces(comparison, measure, cells, rows, look, "all weights" if r is None else f"r = {r}")
    title = f"Each seed, and mean and deviation over {len(comparison.protocol.seeds)} seeds"
    figure = themed(traces, title, measure.title, "", showlegend=True, legend_y=-0.16)
    figure.update_layout(height=170 + _ROW * len(families)).update_xaxes(rangemode="tozero")
    names = {"tickvals": list(height.values()), "ticktext": families}
    return figure.update_yaxes(**names, range=[-0.6, len(families) - 0.4], automargin=True)


def _seed_traces(
    comparison: Comparison, measure: Measure, cells: list[Cell], rows: list[float], look: dict[str, str], name: str
) -> list[go.Scatter]:
    """Small points for the seeds of these cells, and a large one with a bar for their mean and deviation."""
    spreads = [comparison.over_seeds(cell, measure.of) for cell in cells]
    return [
        go.Scatter(
            x=[value for spread in spreads for value in spread.values],
            y=[row for row, spread in zip(rows, spreads, strict=True) for _ in spread.values],
            mode="markers",
            marker={"color": look["color"], "size": 6, "opacity": 0.5},
            showlegend=False,
            hoverinfo="x",
        ),
        go.Scatter(
            x=[spread.mean for spread in spreads],
            y=rows,
            error_x={"array": [spread.deviation for spread in spreads], "thickness": 2, "width": 5},
            text=[cell.label for cell in cells],
            name=name,
            mode="markers",
            marker={**look, "size": 10},
            hoverinfo="text+x",
        ),
    ]


def forgetting_figure(comparison: Comparison, r: int) -> Figure:
    """Along training, the excess on the old world over that on the new one: low and to the left is better."""
    traces = []
    for cell in comparison.with_budget(r):
        runs = comparison.reported(cell)
        new = _mean_curve(runs, lambda run: [point.excess for point in run.points])
        old = _mean_curve(runs, lambda run: [_number(point.reference) for point in run.points])
        text = [f"{cell.label}, step {point.step}" for point in runs[0].points]
        traces.append(_trace(comparison, cell, new, old, text))
    world, reference = comparison.protocol.world, comparison.protocol.reference_world
    title = f"Forgetting against learning, mean over seeds; training goes from right to left, r = {r}"
    figure = themed(traces, title, f"excess on {world} (nats/token)", f"excess on {reference} (nats/token)")
    return figure.update_layout(showlegend=True, height=440).update_xaxes(**_LOG).update_yaxes(rangemode="tozero")


def rank_against_excess_figure(comparison: Comparison, measure: Measure = EFFECTIVE_RANK) -> Figure:
    """Final excess of each cell over a rank of its update; a line joins the budgets of one method."""
    traces = []
    for family in dict.fromkeys(cell.family for cell in comparison.cells):
        cells = sorted((c for c in comparison.cells if c.family == family), key=lambda cell: cell.r or 0)
        ranks = [comparison.over_seeds(cell, measure.of).mean for cell in cells]
        spreads = [comparison.over_seeds(cell, EXCESS.of) for cell in cells]
        trace = _trace(comparison, cells[0], ranks, [s.mean for s in spreads], [c.label for c in cells])
        traces.append(trace.update(error_y={"array": [spread.deviation for spread in spreads], "width": 4}))
    figure = themed(traces, "Does rank decide? Each point is a cell, r grows along a line", measure.title, EXCESS.title)
    return figure.update_layout(showlegend=True, height=440).update_xaxes(**_LOG).update_yaxes(rangemode="tozero")


def tuning_figure(comparison: Comparison, r: int) -> Figure:
    """Final excess over the learning rate, under the tuning seed; the best rate of each method is marked large."""
    traces = []
    for cell in comparison.with_budget(r):
        tuning = comparison.tuning(cell)
        finite = {rate: excess for rate, excess in sorted(tuning.items()) if math.isfinite(excess)}
        rates, best = list(finite), comparison.best_rate(cell)
        trace = _trace(comparison, cell, rates, list(finite.values()), [cell.label] * len(rates))
        sizes = [13 if rate == best else 6 for rate in rates]
        traces.append(trace.update(marker={"size": sizes, "line": {"width": 1, "color": "white"}}))
    title = f"Final excess over the learning rate, r = {r}, seed {comparison.protocol.tuning_seed}"
    figure = themed(traces, title, "learning rate", EXCESS.title, showlegend=True, height=440)
    grid = sorted({rate for cell in comparison.with_budget(r) for rate in comparison.protocol.rates(cell)})
    figure.update_xaxes(type="log", tickvals=grid, ticktext=[f"{rate:g}" for rate in grid])
    return figure.update_yaxes(**_LOG)


def _ranked_families(comparison: Comparison, measure: Measure) -> list[str]:
    """Methods by the mean of their cells, the best first."""
    means: dict[str, list[float]] = {}
    for cell in comparison.cells:
        means.setdefault(cell.family, []).append(comparison.over_seeds(cell, measure.of).mean)
    return sorted(means, key=lambda family: fmean(means[family]), reverse=measure.better != "low")


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _mean_curve(runs: Sequence[Run], curve: Callable[[Run], list[float]]) -> list[float]:
    return [fmean(values) for values in zip(*map(curve, runs), strict=True)]


def _trace(comparison: Comparison, cell: Cell, x: list[float], y: list[float], text: list[str]) -> go.Scatter:
    look = looks(cell.family for cell in comparison.cells)[cell.family]
    line = {"color": look.colour, "width": 2, "dash": _DASHES.get(cell.family, "solid")}
    return go.Scatter(
        x=x, y=y, text=text, name=cell.family, mode="lines+markers", line=line, hoverinfo="text+x+y",
        marker={"symbol": look.symbol, "size": 8},
    )  # fmt: skip
