"""The figure of a run as a widget that takes new points and keeps zoom, legend and everything else."""

import plotly.graph_objects as go

from shira_lab.course.figures import training_curves, training_figure
from shira_lab.course.figures.theme import CONFIG
from shira_lab.training.history import History


def live_figure(history: History) -> go.FigureWidget:
    """:func:`shira_lab.course.figures.training_figure` as a widget."""
    figure = go.FigureWidget(training_figure(history))
    figure._config = {**figure._config, **CONFIG}
    figure.layout.autosize = True
    return figure


def redraw(figure: go.FigureWidget, history: History) -> None:
    """Show this history in a figure made by :func:`live_figure`, in one message to the browser."""
    with figure.batch_update():
        for trace, curve in zip(figure.data, training_curves(history), strict=True):
            trace.x, trace.y, trace.text = curve.x, curve.y, curve.text
        figure.layout.title.text = history.settings.label
        figure.update_xaxes(range=[0, history.settings.steps])
