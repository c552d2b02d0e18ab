"""What a budget buys: SHiRA and LoRA spend the same r(m + n) numbers, and reach very different ranks with them."""

from collections.abc import Mapping

import plotly.graph_objects as go

from shira_lab.budget import Shape, num_params
from shira_lab.course.figures.theme import GREY, PALETTE, Figure, themed

ADVICE = 0.10  # density below which an adapter is usually kept


def budget_figure(shape: Shape, ranks: Mapping[str, Mapping[int, int]]) -> Figure:
    """Rank of an update over its trained numbers, one curve for each method.

    Args:
        shape: (m, n) of the weight.
        ranks: method -> r -> rank of the update.
    """
    m, n = shape
    traces = [
        go.Scatter(
            x=[num_params(r, shape) for r in by_r],
            y=list(by_r.values()),
            text=[f"r = {r}" for r in by_r],
            name=name,
            mode="lines+markers",
            line={"color": PALETTE[number % len(PALETTE)], "width": 2.5},
        )
        for number, (name, by_r) in enumerate(ranks.items())
    ]
    title = f"What r(m + n) numbers buy in a {m} x {n} weight"
    figure = themed(traces, title, "trained numbers, r(m + n)", "rank of the update", showlegend=True)
    figure.add_hline(min(shape), line_dash="dot", line_color=GREY, annotation_text=f"full rank, {min(shape)}")
    figure.add_vline(ADVICE * m * n, line_dash="dash", line_color=GREY, annotation_text=f"{ADVICE:.0%} of the weight")
    return figure.update_yaxes(range=[0, 1.12 * min(shape)]).update_xaxes(rangemode="tozero")
