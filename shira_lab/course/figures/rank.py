"""The rank of masks as curves: over the number of entries, with theory beside it, and over the scale of columns."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from shira_lab.budget import Shape
from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.theme import GREY, Figure, themed


def expectation_figure(
    shape: Shape, expected: Mapping[str, Mapping[int, float]], counted: Mapping[str, Mapping[int, Sequence[int]]]
) -> Figure:
    """What theory expects of random masks as lines, and what drawn ones have as dots.

    Args:
        shape: (m, n) of the weight.
        expected: what is counted -> entries k -> expected number.
        counted: the same names -> entries k -> the number in each drawn mask.
    """
    traces, look = [], looks(expected)
    for name, line in expected.items():
        colour = look[name].colour
        dots = [(k, found) for k, all_found in counted[name].items() for found in all_found]
        traces += [
            go.Scatter(x=list(line), y=list(line.values()), name=f"{name}, expected", line={"color": colour}),
            go.Scatter(
                x=[k for k, _ in dots],
                y=[found for _, found in dots],
                name=f"{name}, drawn",
                mode="markers",
                marker={"color": colour, "size": 8, "opacity": 0.6},
            ),
        ]
    m, n = shape
    figure = themed(traces, f"Random masks of a {m} x {n} weight", "entries k", "rank, or rows", showlegend=True)
    return _with_full_rank(figure, shape)


def column_scale_figure(shape: Shape, r: int, ranks: Mapping[str, Mapping[float, int]]) -> Figure:
    """The structural rank of masks over the spread of the weight's columns.

    Args:
        shape: (m, n) of the weight.
        r: each mask has r(m + n) entries.
        ranks: mask -> column scale -> structural rank.
    """
    look = looks(ranks)
    traces = [
        go.Scatter(
            x=list(by_scale),
            y=list(by_scale.values()),
            name=name,
            mode="lines",
            # Each line is thinner than those before it, so that lines on top of each other all show.
            line={"color": look[name].colour, "width": 2 + 2 * (len(ranks) - 1 - number)},
        )
        for number, (name, by_scale) in enumerate(ranks.items())
    ]
    m, n = shape
    title = f"Masks that rank by magnitude, {m} x {n}, r = {r}"
    x = "column scale (standard deviation of its logarithm)"
    return _with_full_rank(themed(traces, title, x, "structural rank", showlegend=True), shape)


def _with_full_rank(figure: Figure, shape: Shape) -> Figure:
    full = min(shape)
    figure.add_hline(
        full,
        line_dash="dot",
        line_color=GREY,
        annotation_text=f"full rank, {full}",
        annotation_position="top left",
        annotation_yshift=4,
    )
    return figure.update_yaxes(range=[0, 1.12 * full])
