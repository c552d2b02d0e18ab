"""Pictures of ways to choose positions: agreement over the number of samples, and what each layer gets of a budget."""

from collections.abc import Mapping, Sequence
from html import escape

import anywidget
import traitlets

from shira_lab.course.figures.chart import Chart, Line
from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.theme import GREY
from shira_lab.course.widgets.controls import STATIC, table
from shira_lab.course.widgets.still import image


class ShareCurves(anywidget.AnyWidget):
    """Shares over a few stops, one curve for each name."""

    _esm = STATIC / "share_curves.js"
    _css = STATIC / "share_curves.css"

    stops = traitlets.List(traitlets.Int()).tag(sync=True)
    stop = traitlets.Int().tag(sync=True)
    curves = traitlets.List(traitlets.Dict()).tag(sync=True)
    level = traitlets.Float().tag(sync=True)
    level_name = traitlets.Unicode().tag(sync=True)
    x_title = traitlets.Unicode().tag(sync=True)
    y_title = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)

    def show(self, stops: Sequence[int], stop: int, curves: Mapping[str, Sequence[float]], level: float) -> None:
        """Draw ``curves``, each with a share for every one of the ``stops``, of which ``stop`` is marked."""
        here = list(stops).index(stop)
        words = "; ".join(f"{name} {shares[here]:.0%}" for name, shares in curves.items())
        with self.hold_sync():
            self.stops, self.stop, self.level = list(stops), stop, level
            self.curves = [
                {"name": name, "colour": look.colour, "shares": list(curves[name])}
                for name, look in looks(curves).items()
            ]
            self.alt = f"{self.y_title} over {self.x_title}; at {stop}: {words}; {self.level_name}: {level:.0%}."

    def still(self) -> str:
        """The curves as an SVG picture in HTML."""
        lines = [Line(self.stops, curve["shares"], curve["name"], curve["colour"], dots=True) for curve in self.curves]
        level = Line([0, max(self.stops, default=1)], [self.level] * 2, self.level_name, GREY, dash=True)
        chart = Chart(self.y_title, self.x_title, "share", max(self.stops, default=1), [*lines, level])
        return image("svg+xml", chart.svg().encode(), self.alt)


class LayerBars(anywidget.AnyWidget):
    """How much of each layer trains, beside what a budget of its own would give it."""

    _esm = STATIC / "layer_bars.js"
    _css = STATIC / "layer_bars.css"

    bars = traitlets.List(traitlets.Dict()).tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)

    def show(self, counts: Mapping[str, int], own: Mapping[str, int], sizes: Mapping[str, int], chosen: str) -> None:
        """Draw the entries that train in each layer.

        Args:
            counts: of entries that train, by layer; ``own``: as many as an own budget would make; ``sizes``: of all.
            chosen: the layer to stand out.
        """
        names = dict(zip(counts, short_names(list(counts)), strict=True))
        shares = {path: count / sizes[path] for path, count in counts.items()}
        least, most = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
        with self.hold_sync():
            self.bars = [
                {"name": names[path], "count": count, "share": shares[path], "own": own[path] / sizes[path]}
                for path, count in counts.items()
            ]
            self.chosen = names[chosen]
            self.alt = (
                f"Trained entries of {len(counts)} layers, from {shares[least]:.1%} of {names[least]} to "
                f"{shares[most]:.1%} of {names[most]}; {counts[chosen]:,} in {names[chosen]}."
            )

    def still(self) -> str:
        """The bars as a table in HTML."""
        rows = [(bar["name"], f"{bar['count']:,} train, {bar['share']:.1%}") for bar in self.bars]
        return f"<div><p>{escape(self.alt)}</p>{table(rows)}</div>"


def short_names(paths: Sequence[str]) -> list[str]:
    """Paths without the parts that all of them begin with."""
    parts = [path.split(".") for path in paths]
    common = 0
    while all(len(part) > common + 1 and part[common] == parts[0][common] for part in parts):
        common += 1
    return [".".join(part[common:]) for part in parts]
