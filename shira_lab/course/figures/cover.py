"""The fewest rows and columns that cover a mask, as a picture: their number is the largest rank that it allows."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots
from torch import Tensor

from shira_lab.analysis.rank import Cover
from shira_lab.budget import Shape
from shira_lab.course.figures.theme import BLUE, TEMPLATE, VERMILLION, Figure

HEIGHT = 420
#: What a cell shows: on no line, on a covering row, on a covering column; and the same with an entry.
COLOURS = ("#F4F4F4", "#CFE3F1", "#F8DCC9", "#000000", BLUE, VERMILLION)
ON_ROW, ON_COLUMN, ENTRY = 1, 2, 3


def cover_figure(shape: Shape, masks: Mapping[str, tuple[Tensor, Cover]]) -> Figure:
    """Masks side by side, each with its smallest cover: rows in blue, columns in orange, entries dark.

    Args:
        shape: (m, n) of the weight.
        masks: name -> flat positions (k,) and their cover.
    """
    titles = [f"{name}: {cover.size} lines<br>{_kinds(cover)}" for name, (_, cover) in masks.items()]
    figure = Figure(make_subplots(1, len(masks), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.03))
    steps = np.linspace(0, 1, len(COLOURS) + 1).repeat(2)[1:-1]
    scale = [[float(step), COLOURS[number // 2]] for number, step in enumerate(steps)]
    for column, (name, (positions, cover)) in enumerate(masks.items(), start=1):
        cells = cover_cells(positions, shape, cover)
        heatmap = go.Heatmap(
            z=cells, zmin=-0.5, zmax=len(COLOURS) - 0.5, colorscale=scale, showscale=False, name=name, xgap=1, ygap=1
        )
        figure.add_trace(heatmap, row=1, col=column)
        figure.update_xaxes(title_text="column (input)", constrain="domain", row=1, col=column)
        axis = "x" if column == 1 else f"x{column}"
        figure.update_yaxes(autorange="reversed", scaleanchor=axis, constrain="domain", row=1, col=column)
    title = "The fewest rows and columns that hold every entry"
    figure.update_layout(template=TEMPLATE, height=HEIGHT, title_text=title, margin={"t": 100, "b": 56})
    figure.update_annotations(font_size=13)
    return figure.update_yaxes(title_text="row (output)", col=1)


def cover_cells(positions: Tensor, shape: Shape, cover: Cover) -> NDArray[np.int8]:
    """For each cell of the (m, n) weight its place in ``COLOURS``; a cell on both kinds of line counts to the row."""
    cells = np.zeros(shape, dtype=np.int8)
    cells[:, cover.columns.numpy()] = ON_COLUMN
    cells[cover.rows.numpy()] = ON_ROW
    cells.reshape(-1)[positions.numpy()] += ENTRY
    return cells


def _kinds(cover: Cover) -> str:
    return f"{len(cover.rows)} rows + {len(cover.columns)} columns"
