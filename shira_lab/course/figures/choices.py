"""How far ways to choose positions agree, and how a mask follows the scale of a weight's columns."""

from collections.abc import Mapping

import plotly.graph_objects as go
from numpy.typing import ArrayLike

from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.theme import GREY, Figure, themed


def agreement_figure(curves: Mapping[str, Mapping[int, float]], chance: float, title: str) -> Figure:
    """Agreement over the number of samples, one curve for each name.

    Args:
        curves: name -> number of samples -> share of common positions.
        chance: the share that two independent random choices would have.
    """
    look = looks(curves)
    traces = [
        go.Scatter(
            x=list(curve),
            y=list(curve.values()),
            name=name,
            mode="lines+markers",
            line={"color": look[name].colour, "width": 2.5},
            marker={"symbol": look[name].symbol, "size": 9},
        )
        for name, curve in curves.items()
    ]
    figure = themed(traces, title, "samples (each step doubles them)", "share of common positions", showlegend=True)
    figure.add_hline(chance, line_dash="dot", line_color=GREY, annotation_text=f"chance, {chance:.1%}")
    stops = sorted({n for curve in curves.values() for n in curve})
    figure.update_xaxes(type="log", tickvals=stops, ticktext=[f"{n}" for n in stops])
    return figure.update_yaxes(range=[0, 1.05], tickformat=".0%")


def column_entries_figure(scales: ArrayLike, entries: Mapping[str, ArrayLike], title: str) -> Figure:
    """Each column of a weight as a point: its scale, and how many of its entries train.

    Args:
        scales: of each column, for instance the root mean square of its entries.
        entries: name of a mask -> entries that train in each column.
    """
    look = looks(entries)
    traces = [
        go.Scatter(
            x=scales,
            y=counts,
            name=name,
            mode="markers",
            marker={"color": look[name].colour, "symbol": look[name].symbol, "size": 6, "opacity": 0.6},
        )
        for name, counts in entries.items()
    ]
    figure = themed(traces, title, "scale of the column (root mean square of its weights)", "trained entries in it")
    return figure.update_layout(showlegend=True).update_yaxes(rangemode="tozero").update_xaxes(rangemode="tozero")
