"""Singular values of updates: how far a spectrum reaches is the rank, and the other ranks measure how flat it lies."""

from collections.abc import Mapping

import plotly.graph_objects as go

from shira_lab.analysis.spectrum import Spectrum
from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.theme import HEIGHT, Figure, themed
from shira_lab.course.language import tr
from shira_lab.training.history import RankPoint

TITLE = "Singular values of the update"
LEGEND_LINE = 22  # height of a curve's name below the plot, in pixels


def ranks_in_words(update: Spectrum | RankPoint) -> str:
    """ "rank 192, stable rank 58.1, effective rank 120.4" """
    return tr(
        "rank {rank}, stable rank {stable:.1f}, effective rank {effective:.1f}",
        rank=update.rank, stable=update.stable_rank, effective=update.effective_rank,
    )  # fmt: skip


def spectrum_figure(spectra: Spectrum | Mapping[str, Spectrum], title: str = TITLE) -> Figure:
    """One curve for each spectrum, on a logarithmic axis; a curve ends where its values are zero, at the rank."""
    named = {"update": spectra} if isinstance(spectra, Spectrum) else spectra
    look = looks(named)
    traces = [
        go.Scatter(
            x=list(range(1, one.rank + 1)),
            y=one.values[: one.rank].tolist(),
            name=f"{name}: {ranks_in_words(one)}",
            mode="lines+markers" if one.rank <= 32 else "lines",
            line={"color": look[name].colour, "width": 2.5},
        )
        for name, one in named.items()
    ]
    figure = themed(
        traces, tr(TITLE) if title == TITLE else title, tr("index of the singular value"), tr("singular value"),
        yaxis_type="log", showlegend=True,
    )  # fmt: skip
    figure.update_layout(height=HEIGHT + LEGEND_LINE * max(0, len(named) - 2))  # the margin has room for two
    return figure.update_yaxes(exponentformat="power", dtick=1, automargin=True).update_xaxes(rangemode="tozero")
