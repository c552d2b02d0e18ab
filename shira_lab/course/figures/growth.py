"""The update of one layer as it grows: what it looks like, and how its singular values lie."""

from base64 import b64decode

import numpy as np
import torch
from numpy.typing import NDArray
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from shira_lab.analysis.spectrum import Spectrum
from shira_lab.course.figures.spectrum import ranks_in_words
from shira_lab.course.figures.theme import GREY, TEMPLATE, Figure
from shira_lab.training.history import History, PicturePoint, RankPoint

#: Pale to dark, as the live picture has it.
TILES = ((0.0, "#F4F4F4"), (0.5, "#56B4E9"), (1.0, "#003A5C"))
CURVES = ("rgb(86, 180, 233)", "rgb(0, 58, 92)")
MAX_PANELS = 3
HEIGHT = 560


def tiles(picture: PicturePoint) -> NDArray[np.float32]:
    """The largest |entry| under each pixel, (rows, columns)."""
    levels = np.frombuffer(b64decode(picture.levels), dtype=np.uint8).reshape(picture.shape)
    return levels.astype(np.float32) * np.float32(picture.largest / 255)


def control_beside(history: History, point: RankPoint) -> Spectrum:
    """The spectrum of random values at the positions of ``point``'s layer, with the Frobenius norm of its update."""
    values = history.control_of(point.layer, point.step).singular_values
    control = Spectrum(torch.tensor(values), point.shape).normalised
    return Spectrum(control.values * torch.tensor(point.singular_values).norm(), point.shape)


def growth_figure(history: History, layer: str) -> Figure:
    """Pictures of the update of ``layer`` on one scale, at most ``MAX_PANELS`` of them, over the spectra of the same
    steps. Dashed: random values at the same positions, scaled to the norm of the last update shown.

    The measurement before the first step is left out: the update is zero.
    """
    measured = list(zip(history.pictures_of(layer), history.ranks_of(layer), strict=True))[1:]
    panels = min(MAX_PANELS, len(measured))
    chosen = [measured[round(i)] for i in np.linspace(0, len(measured) - 1, panels)]
    columns = max(1, panels)
    figure = Figure(
        make_subplots(
            rows=2,
            cols=columns,
            specs=[[{}] * columns, [{"colspan": columns}, *[None] * (columns - 1)]],
            subplot_titles=[f"step {picture.step}" for picture, _ in chosen],
            row_heights=[0.4, 0.6],
            vertical_spacing=0.1,
            horizontal_spacing=0.02,
        )
    )
    colours = sample_colorscale(CURVES, np.linspace(0, 1, columns).tolist())
    for column, ((picture, ranks), colour) in enumerate(zip(chosen, colours, strict=False), start=1):
        figure.add_heatmap(z=tiles(picture), coloraxis="coloraxis", row=1, col=column)
        figure.add_scatter(
            x=list(range(1, ranks.rank + 1)),
            y=ranks.singular_values[: ranks.rank],
            name=f"step {picture.step}: {ranks_in_words(ranks)}",
            mode="lines+markers" if ranks.rank <= 32 else "lines",
            line={"color": colour, "width": 2.5},
            row=2,
            col=1,
        )
    if chosen:
        control = control_beside(history, chosen[-1][1])
        figure.add_scatter(
            x=list(range(1, control.rank + 1)),
            y=control.values[: control.rank].tolist(),
            name=f"random values: {ranks_in_words(history.control_of(layer))}",
            mode="lines",
            line={"color": GREY, "width": 2, "dash": "dash"},
            row=2,
            col=1,
        )
    figure.update_layout(
        template=TEMPLATE,
        height=HEIGHT,
        title_text=f"The update of {layer}, {history.settings.label}",
        showlegend=True,
        legend_y=-0.16,
        margin_t=76,
        coloraxis={
            "colorscale": TILES,
            "cmin": 0,
            "cmax": max((picture.largest for picture, _ in chosen), default=1.0),
            "colorbar": {"title": "|entry|", "len": 0.42, "y": 0.8},
        },
    )
    figure.update_xaxes(showticklabels=False, ticks="", showgrid=False, row=1)
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False, autorange="reversed", row=1)
    figure.update_yaxes(title_text="row (output)", row=1, col=1)
    figure.update_xaxes(title_text="column (input)", row=1, col=1)
    figure.update_xaxes(title_text="index of the singular value", rangemode="tozero", row=2)
    return figure.update_yaxes(title_text="singular value", type="log", exponentformat="power", dtick=1, row=2)
