"""How all figures look: one palette that colour-blind readers can tell apart, one template, and no button that uploads.

The colours are those of Okabe & Ito, "Color Universal Design" (2008).
"""

import os
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
#: In the order in which curves take them. The palette's yellow is too pale for a line on white.
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
GREY = "#767676"
WHITE, PAPER = "#FFFFFF", "#F4F4F4"  # paper: of a weight where nothing trains

#: The "share" button of plotly 7 would send the figure to a server.
CONFIG = {"displaylogo": False, "showSendToCloud": False, "responsive": True}
HEIGHT = 380
PLOTLY = "application/vnd.plotly.v1+json"

#: Set in the environment, it adds a PNG to each figure for places that do not draw plotly (needs kaleido, Chromium).
PICTURES = "SHIRA_LAB_PICTURES"

_AXIS = {"showgrid": True, "gridcolor": "#E5E5E5", "linecolor": "#444444", "ticks": "outside", "zeroline": False}

TEMPLATE = go.layout.Template(
    layout={
        "colorway": PALETTE,
        "autosize": True,
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#222222"},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 64, "r": 24, "t": 48, "b": 96},
        "xaxis": {**_AXIS, "title": {"standoff": 8}},
        "yaxis": {**_AXIS, "title": {"standoff": 8}},
        # Below the plot, where a long name squeezes nothing.
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.24, "xanchor": "left", "x": 0},
        "title": {"font": {"size": 15}, "x": 0.01, "xanchor": "left"},
        "hovermode": "closest",
    }
)


def rgb(colour: str) -> tuple[int, int, int]:
    """A colour such as "#0072B2" as numbers."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


class Figure(go.Figure):
    """A plotly figure that stays on this machine and can be read as a line of text."""

    def show(self, *args: Any, **kwargs: Any) -> Any:
        return super().show(*args, **{"config": CONFIG, **kwargs})

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True, metadata={"image/png": {"alt": self.alt}})

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        bundle = {PLOTLY: {**self.to_plotly_json(), "config": CONFIG}, "text/plain": self.alt}
        picture = figure_png(self)
        return {**bundle, "image/png": b64encode(picture).decode()} if picture else bundle

    @property
    def alt(self) -> str:
        """The figure in words: its title and the names of its curves."""
        names = [trace.name for trace in self.data if trace.name and trace.showlegend is not False]
        return f"Figure: {self.layout.title.text}" + (f" ({'; '.join(names)})" if names else "")


def themed(traces: Iterable[Any], title: str, x: str, y: str, **layout: Any) -> Figure:
    """A figure of these traces with titled axes."""
    axes = {"xaxis_title_text": x, "yaxis_title_text": y}
    return Figure(list(traces), {"template": TEMPLATE, "height": HEIGHT, "title_text": title, **axes, **layout})


def figure_png(figure: go.Figure, width: int = 900) -> bytes | None:
    """The figure as a PNG where the environment asks for pictures, else None."""
    if not os.environ.get(PICTURES):
        return None
    return bytes(figure.to_image("png", width=width, height=figure.layout.height or HEIGHT))
