"""What a budget buys: SHiRA and LoRA have the same r(m + n) trainable parameters, and reach very different ranks."""

from collections.abc import Mapping

import plotly.graph_objects as go

from shira_lab.budget import Shape, num_params
from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.theme import GREY, Figure, themed

ADVICE = 0.10  # density below which an adapter is usually kept


def budget_figure(shape: Shape, ranks: Mapping[str, Mapping[int, int]]) -> Figure:
    """Rank of an update over its trainable parameters, one curve for each method.

    Args:
        shape: (m, n) of the weight.
        ranks: method -> r -> rank of the update.
    """
    (m, n), look = shape, looks(ranks)
    traces = [
        go.Scatter(
            x=[num_params(r, shape) for r in by_r],
            y=list(by_r.values()),
            text=[f"r = {r}" for r in by_r],
            name=name,
            mode="lines+markers",
            line={"color": look[name].colour, "width": 2.5},
        )
        for name, by_r in ranks.items()
    ]
    title = f"What r(m + n) parameters buy in a {m} x {n} weight"
    figure = themed(traces, title, "trainable parameters, r(m + n)", "rank of the update", showlegend=True)
    figure.add_hline(min(shape), line_dash="dot", line_color=GREY, annotation_text=f"full rank, {min(shape)}")
    figure.add_vline(ADVICE * m * n, line_dash="dash", line_color=GREY, annotation_text=f"{ADVICE:.0%} of the weight")
    return figure.update_yaxes(range=[0, 1.12 * min(shape)]).update_xaxes(rangemode="tozero")
