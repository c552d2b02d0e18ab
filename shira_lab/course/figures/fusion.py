"""A study of fusing as pictures: what fusing costs each pair, and how it depends on the common scale."""

from html import escape
from statistics import fmean

import plotly.graph_objects as go

from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.theme import BLACK, BLUE, GREY, SKY, VERMILLION, Figure, themed
from shira_lab.course.fusion.records import FusionRun, Pair
from shira_lab.course.fusion.results import Study

#: How the second adapter's start stands apart from the first one's; the colour is the method's.
_DASHES = {"same seed": "dot", "other seed": "dash", "disjoint": "solid", "same weights": "longdash"}
_ROW = 46  # pixels of a row
_BAR_WIDTH, _BAR_LEFT, _BAR_ROW = 520, 70, 52  # of the picture of losses, in pixels


def growth_by_pair_figure(study: Study) -> Figure:
    """What fusing at scale 1 adds to the mean excess: each seed as a point, mean and deviation beside it."""
    spreads = {pair: study.over_seeds(pair, FusionRun.growth) for pair in study.pairs}
    pairs = sorted(spreads, key=lambda pair: spreads[pair].mean, reverse=True)
    seeds = go.Scatter(
        x=[value for pair in pairs for value in spreads[pair].values],
        y=[row for row, pair in enumerate(pairs) for _ in spreads[pair].values],
        mode="markers",
        marker={"color": GREY, "size": 7, "opacity": 0.5},
        name="a seed",
        hoverinfo="x",
    )
    means = go.Scatter(
        x=[spreads[pair].mean for pair in pairs],
        y=[row + 0.18 for row in range(len(pairs))],
        error_x={"array": [spreads[pair].deviation for pair in pairs], "thickness": 2, "width": 5},
        mode="markers",
        marker={"color": BLACK, "symbol": "diamond", "size": 10},
        name="mean and deviation",
        hoverinfo="x",
    )
    title = "What fusing costs: both adapters at scale 1, less each alone on its world"
    figure = themed([seeds, means], title, "growth of the mean excess (nats/token)", "", legend_y=-0.2)
    figure.update_layout(height=170 + _ROW * len(pairs), showlegend=True).update_xaxes(rangemode="tozero")
    names = {"tickvals": list(range(len(pairs))), "ticktext": [pair.label for pair in pairs]}
    return figure.update_yaxes(**names, range=[-0.6, len(pairs) - 0.4], automargin=True)


def fused_over_scale_figure(study: Study) -> Figure:
    """Mean excess over both worlds against the common scale of both adapters; dashed: each adapter alone."""
    curves = [_curve(study, pair) for pair in study.pairs]
    single = fmean(run.single for run in study.runs)
    scales = study.protocol.scales
    alone = go.Scatter(
        x=[scales[0], scales[-1]], y=[single, single], mode="lines", name="each alone, on its own world",
        line={"color": GREY, "dash": "dash", "width": 2},
    )  # fmt: skip
    title = "Both adapters at one scale: mean excess over the two worlds, and its deviation over seeds"
    figure = themed([*curves, alone], title, "scale of both adapters", "mean excess (nats/token)")
    figure.update_xaxes(tickvals=scales)
    return figure.update_layout(showlegend=True, height=440).update_yaxes(rangemode="tozero")


def _curve(study: Study, pair: Pair) -> go.Scatter:
    look = looks([pair.label])[pair.label]
    scales = study.protocol.scales
    spreads = [study.fused(pair, scale) for scale in scales]
    return go.Scatter(
        x=scales,
        y=[spread.mean for spread in spreads],
        error_y={"array": [spread.deviation for spread in spreads], "width": 4},
        name=pair.label,
        mode="lines+markers",
        line={"color": look.colour, "width": 2, "dash": _DASHES[pair.second]},
        marker={"symbol": look.symbol, "size": 8},
    )


def losses_figure(now: dict[str, float], alone: dict[str, float], base: dict[str, float], scales: str) -> Figure:
    """Excess on each world, nats per token: of the base model, fused at these scales, and of its adapter alone."""
    groups = {"base model": (base, GREY), f"now: {scales}": (now, BLUE), "its adapter alone": (alone, VERMILLION)}
    bars = [
        go.Bar(x=list(values), y=list(values.values()), name=name, marker_color=colour)
        for name, (values, colour) in groups.items()
    ]
    return themed(bars, "Excess on each world", "world", "excess (nats/token)", showlegend=True)


def losses_svg(now: dict[str, float], before: dict[str, float], alone: dict[str, float], base: dict[str, float]) -> str:
    """Excess on each world as bars: now, before the last move, and strokes where each adapter and the base model are.

    Args:
        now, before, alone, base: nats per token by world.
    """
    top = 1.05 * max(*now.values(), *before.values(), *base.values(), 0.1)
    span = _BAR_WIDTH - _BAR_LEFT - 60

    def length(value: float) -> float:
        return max(0.0, value) / top * span

    parts = []
    for row, world in enumerate(now):
        y = row * _BAR_ROW
        parts.append(f'<text x="0" y="{y + 25}">{escape(world)}</text>')
        for value, at, height, colour in ((before[world], y + 32, 7, SKY), (now[world], y + 10, 20, BLUE)):
            parts.append(
                f'<rect x="{_BAR_LEFT}" y="{at}" width="{length(value):.1f}" height="{height}" fill="{colour}"/>'
            )
        parts.append(f'<text x="{_BAR_LEFT + length(now[world]) + 6:.1f}" y="{y + 25}">{now[world]:.2f}</text>')
        for value, colour in ((alone[world], VERMILLION), (base[world], GREY)):
            x = _BAR_LEFT + length(value)
            parts.append(f'<path d="M{x:.1f} {y + 4}v40" stroke="{colour}" stroke-width="2" stroke-dasharray="4 2"/>')
    said = "; ".join(
        f"{world}: now {now[world]:.2f}, before {before[world]:.2f}, its adapter alone {alone[world]:.2f}, "
        f"base model {base[world]:.2f}"
        for world in now
    )
    height = _BAR_ROW * len(now)
    style = "max-width:100%;font:13px system-ui,sans-serif;fill:currentColor"
    return (
        f'<svg role="img" aria-label="excess in nats per token, {escape(said)}" viewBox="0 0 {_BAR_WIDTH} {height}" '
        f'width="{_BAR_WIDTH}" height="{height}" style="{style}">{"".join(parts)}</svg>'
    )
