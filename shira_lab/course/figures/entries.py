"""Matrices side by side, each entry as dark as it is large; and named curves on common axes."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from shira_lab.course.figures.growth import TILES
from shira_lab.course.figures.mask import pooling
from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.theme import TEMPLATE, Figure, themed

MAX_TILES = 64  # along the longer side of a matrix
_UNDER, _OVER = {"width": 4, "dash": "solid"}, {"width": 2, "dash": "dash"}


def pooled(matrix: ArrayLike, max_tiles: int = MAX_TILES) -> NDArray[np.float64]:
    """The largest |entry| of an (m, n) matrix under each tile, as parts of the largest of all, to two digits."""
    entries = np.abs(np.asarray(matrix, dtype=np.float64))
    (m, n), side = entries.shape, pooling((entries.shape[0], entries.shape[1]), max_tiles)
    padded = np.pad(entries, ((0, -m % side), (0, -n % side)))
    tiles = padded.reshape(-(-m // side), side, -(-n // side), side).max(axis=(1, 3))
    return (tiles / (tiles.max() or 1)).round(2)


def entries_figure(matrices: Mapping[str, ArrayLike], title: str) -> Figure:
    """Each (m, n) matrix as a picture of its |entries|, on a scale of its own from 0 to its largest."""
    figure = Figure(make_subplots(rows=1, cols=len(matrices), subplot_titles=list(matrices), horizontal_spacing=0.04))
    for column, matrix in enumerate(matrices.values(), start=1):
        figure.add_heatmap(z=pooled(matrix), coloraxis="coloraxis", row=1, col=column)
    figure.update_layout(
        template=TEMPLATE,
        height=440,
        title_text=title,
        margin_t=76,
        coloraxis={"colorscale": TILES, "cmin": 0, "cmax": 1, "colorbar": {"title": "|entry| /<br>largest"}},
    )
    figure.update_xaxes(showticklabels=False, ticks="", showgrid=False, title_text="column (input)", constrain="domain")
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False, autorange="reversed", constrain="domain")
    for column in range(1, len(matrices) + 1):
        figure.update_yaxes(scaleanchor=f"x{column}", col=column)
    return figure.update_yaxes(title_text="row (output)", col=1)


def curves_figure(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, x: str, y: str, logarithmic: bool = False
) -> Figure:
    """A line through the (x, y) of each curve; every second one is dashed, so that one upon the other is seen.

    Args:
        curves: x values and y values by name.
        title, x, y: of the figure, and what its axes show.
        logarithmic: both axes are; a point at zero is left out.
    """
    look = looks(curves)
    traces = [
        go.Scatter(
            x=list(points[0]),
            y=list(points[1]),
            name=name,
            mode="lines",
            line={**(_UNDER, _OVER)[number % 2], "color": look[name].colour},
        )
        for number, (name, points) in enumerate(curves.items())
    ]
    kind = "log" if logarithmic else "linear"
    figure = themed(traces, title, x, y, showlegend=True, xaxis_type=kind, yaxis_type=kind)
    return figure.update_xaxes(exponentformat="power").update_yaxes(exponentformat="power")
