"""A training run as curves: its loss against the entropy floor, and the ranks of the update as it grows.

The curves are computed apart from their look: as a plotly figure to zoom into, or as SVG that follows a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from shira_lab.course.figures.chart import Chart, Line
from shira_lab.course.figures.theme import BLUE, GREEN, GREY, HEIGHT, ORANGE, PURPLE, TEMPLATE, Figure, themed
from shira_lab.course.language import tr
from shira_lab.training.history import History

STEP = "step"
LOSS = "loss (nats/token)"
RANK = "rank of the update"
DASHED = "dashed: the same with random values"
_MEASURES = {"rank": BLUE, "effective_rank": GREEN, "stable_rank": PURPLE}


@dataclass(frozen=True)
class Curve:
    """The points of one line; ``text`` is shown where the mouse rests on them."""

    x: Sequence[float | None]
    y: Sequence[float | None]
    text: Sequence[str | None] = ()


def loss_curves(history: History) -> list[Curve]:
    """Training loss, held-out loss, and the floor of the held-out stories as a level line, where it is known."""
    evals = history.evals
    floor = (evals[-1].floor or None) if evals else None
    return [
        Curve([point.step for point in history.steps], [point.loss for point in history.steps]),
        Curve([point.step for point in evals], [point.loss for point in evals]),
        Curve([0, history.settings.steps], [floor, floor]),
    ]


def rank_curves(history: History) -> list[Curve]:
    """For each measure of rank a curve of the mean over layers, and one that holds all layers, cut between them; then
    for each measure the mean of the controls.
    """
    steps = sorted({point.step for point in history.ranks})
    curves = []
    for measure in _MEASURES:
        means = [fmean(getattr(p, measure) for p in history.ranks if p.step == step) for step in steps]
        x: list[float | None] = []
        y: list[float | None] = []
        text: list[str | None] = []
        for layer in history.layers:
            points = history.ranks_of(layer)
            x += [*(p.step for p in points), None]
            y += [*(float(getattr(p, measure)) for p in points), None]
            text += [*(layer for _ in points), None]
        curves += [Curve(steps, means), Curve(x, y, text)]
    return curves + [_level(history, measure) for measure in _MEASURES]


def _level(history: History, measure: str) -> Curve:
    """The mean over layers of what random values measure: level, but for steps where the mask has moved."""
    steps = sorted({point.step for point in history.controls})
    means = [fmean(getattr(p, measure) for p in history.controls if p.step == step) for step in steps]
    return Curve([*steps, history.settings.steps], [*means, *means[-1:]]) if steps else Curve([], [])


def training_svg(history: History) -> str:
    """:func:`training_figure` as two charts in HTML, one below the other where each would have less than 340 pixels."""
    label, steps = history.settings.label, history.settings.steps
    charts = (
        Chart(tr("{run}: loss", run=label), tr(STEP), tr(LOSS), steps, [*map(_line, _loss_traces(history))]),
        Chart(tr("{run}: ranks", run=label), tr(STEP), tr(RANK), steps, [*map(_line, _rank_traces(history))]),
    )
    drawn = "".join(chart.svg() for chart in charts)
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px 24px">{drawn}</div>'


def loss_figure(history: History) -> Figure:
    """The losses of a run. What is left between held-out loss and floor is what the model has yet to learn."""
    title = tr("Loss of {run}", run=history.settings.label)
    return _from_zero(themed(_loss_traces(history), title, tr(STEP), tr(LOSS)), history)


def rank_figure(history: History) -> Figure:
    """Rank, effective rank and stable rank of the update: the mean over layers, and each layer as a thin line.

    Dashed: the mean for random values at the same positions.
    """
    title = tr("Ranks of the update of {run}", run=history.settings.label)
    return _from_zero(_dashes_explained(themed(_rank_traces(history), title, tr(STEP), tr(RANK)), "x domain"), history)


def training_figure(history: History) -> Figure:
    """:func:`loss_figure` and :func:`rank_figure` side by side."""
    figure = Figure(make_subplots(rows=1, cols=2, horizontal_spacing=0.11))
    for trace in _loss_traces(history):
        figure.add_trace(trace, row=1, col=1)
    for trace in _rank_traces(history):
        figure.add_trace(trace.update(legend="legend2"), row=1, col=2)
    beside = {**TEMPLATE.layout.legend.to_plotly_json(), "x": 0.555}
    figure.update_layout(template=TEMPLATE, height=HEIGHT, title_text=history.settings.label, legend2=beside)
    figure.update_xaxes(title_text=tr(STEP))
    figure.update_yaxes(title_text=tr(LOSS), col=1).update_yaxes(title_text=tr(RANK), col=2)
    return _from_zero(_dashes_explained(figure, "x2 domain"), history)


def _dashes_explained(figure: Figure, over: str) -> Figure:
    """With a note over the plot of the ranks; another name in the legend would not fit on a small screen."""
    return figure.add_annotation(
        text=tr(DASHED), x=1, xref=over, xanchor="right", y=1, yref="paper", yanchor="bottom", showarrow=False
    )


def _from_zero(figure: Figure, history: History) -> Figure:
    """The axes reach to the last step that is planned, so that they stand still while the run goes on."""
    return figure.update_xaxes(range=[0, history.settings.steps]).update_yaxes(rangemode="tozero")


def _loss_traces(history: History) -> list[go.Scatter]:
    training, held_out, floor = loss_curves(history)
    return [
        _trace(training, tr("training loss"), ORANGE, width=1.5),
        _trace(held_out, tr("held-out loss"), BLUE, mode="lines+markers"),
        _trace(floor, tr("entropy floor"), GREY, dash="dash"),
    ]


def _rank_traces(history: History) -> list[go.Scatter]:
    *curves, rank, effective, stable = rank_curves(history)
    traces = []
    for (measure, colour), mean, layers in zip(_MEASURES.items(), curves[::2], curves[1::2], strict=True):
        name = measure_name(measure)
        traces.append(_trace(mean, name, colour, mode="lines+markers"))
        thin = _trace(layers, tr("{name} of each layer", name=name), colour, width=1)
        traces.append(thin.update(opacity=0.35, showlegend=False))
    for colour, level in zip(_MEASURES.values(), (rank, effective, stable), strict=True):
        dashed = _trace(level, tr("random values"), colour, width=1.5, dash="dash")
        traces.append(dashed.update(showlegend=False))
    return traces


def measure_name(measure: str) -> str:
    """How a learner reads one of the measures of rank."""
    names = {"rank": tr("rank"), "effective_rank": tr("effective rank"), "stable_rank": tr("stable rank")}
    return names[measure]


def _trace(
    curve: Curve, name: str, colour: str, width: float = 2.5, mode: str = "lines", dash: str = "solid"
) -> go.Scatter:
    line = {"color": colour, "width": width, "dash": dash}
    return go.Scatter(x=curve.x, y=curve.y, text=curve.text, name=name, mode=mode, line=line, hoverinfo="x+y+text+name")


def _line(trace: go.Scatter) -> Line:
    """A trace of a figure as a line of a chart."""
    look, named = trace.line, trace.showlegend is not False
    return Line(
        trace.x, trace.y, trace.name if named else "", look.color, look.width * (1 if named else 0.6),
        dash=look.dash == "dash", dots="markers" in trace.mode,
    )  # fmt: skip
