"""Line charts as SVG: small enough to follow a run, and readable wherever HTML is, with or without a kernel.

A chart is its own text: it can be kept in a file, sent to a view that opens later, or put beside another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 460, 280  # of the plot with its axes; the legend comes below
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 26, 42
LEGEND_LINE, LETTER = 20, 6.6
DECADES = 4  # powers of ten that a logarithmic axis spans below the largest value


@dataclass(frozen=True)
class Line:
    """The points of one line, None where it is cut. A line without a name is left out of the legend."""

    x: Sequence[float | None]
    y: Sequence[float | None]
    name: str
    colour: str
    width: float = 2.5
    dash: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines between two axes.

    Attributes:
        x_end: where the horizontal axis ends; it begins at zero, as does the vertical one unless it is ``log``.
    """

    title: str
    x_title: str
    y_title: str
    x_end: float
    lines: Sequence[Line]
    log: bool = False

    def svg(self) -> str:
        """The chart as SVG; its accessible name is :meth:`in_words`."""
        legend, height = _legend([line for line in self.lines if line.name])
        x, y, y_ticks = self._scales()
        grid = "".join(
            f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="#E5E5E5"/>'
            f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{label}</text>'
            for tick, label in y_ticks
        )
        below = "".join(
            f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>'
            for tick in ticks(self.x_end)
        )
        middle = (TOP + HEIGHT - BOTTOM) // 2
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
            f'aria-label="{escape(self.in_words())}" style="flex:1 1 340px;max-width:min(100%,760px);background:white" '
            f'font-family="system-ui, sans-serif" font-size="12" fill="#222">'
            f'<text x="{LEFT}" y="16" font-weight="600">{escape(self.title)}</text>{grid}{below}'
            f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#444"/>'
            f'<text x="{(LEFT + WIDTH) // 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(self.x_title)}</text>'
            f'<text text-anchor="middle" transform="translate(13 {middle}) rotate(-90)">{escape(self.y_title)}</text>'
            f"{''.join(_drawn(line, x, y) for line in self.lines)}{legend}</svg>"
        )

    def in_words(self) -> str:
        """The chart's title, and each named line with its last value."""
        ends = []
        for line in self.lines:
            values = [value for value in line.y if value is not None]
            if line.name:
                ends.append(f"{line.name} {values[-1]:.3g}" if values else f"{line.name}: no point yet")
        return f"{self.title}: {self.y_title} over {self.x_title}; at the end {', '.join(ends)}."

    def _scales(self) -> "tuple[_Scale, _Scale, list[tuple[float, str]]]":
        """Where a value stands on each axis, and the vertical axis' ticks with their labels."""
        largest = max((value for line in self.lines for value in line.y if value is not None), default=0.0)
        x = _Scale(0.0, self.x_end, LEFT, WIDTH - RIGHT)
        if not self.log:
            top = 1.05 * largest or 1.0
            return x, _Scale(0.0, top, HEIGHT - BOTTOM, TOP), [(tick, f"{tick:g}") for tick in ticks(top)]
        top = ceil(log10(largest or 1.0))
        y = _Scale(top - DECADES, top, HEIGHT - BOTTOM, TOP, log=True)
        return x, y, [(10.0**power, f"1e{power}") for power in range(top - DECADES, top + 1)]


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        value = max(self.low, log10(value) if value > 0 else self.low) if self.log else value
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(limit: float) -> list[float]:
    """Zero and round numbers up to a positive limit, at most six of them."""
    step = 10.0 ** floor(log10(limit))
    step *= next(factor for factor in (0.2, 0.5, 1, 2) if limit / (step * factor) < 6)
    return [step * number for number in range(int(limit / step) + 1)]


def _drawn(line: Line, x: _Scale, y: _Scale) -> str:
    path, dots, pen = [], [], "M"
    for at, value in zip(line.x, line.y, strict=True):
        if at is None or value is None:
            pen = "M"
            continue
        path.append(f"{pen}{x(at):.1f} {y(value):.1f}")
        pen = "L"
        if line.dots:
            dots.append(f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="3.5" fill="{line.colour}"/>')
    dash = ' stroke-dasharray="7 5"' if line.dash else ""
    stroke = f'stroke="{line.colour}" stroke-width="{line.width}"{dash}'
    return f'<path class="line" d="{"".join(path)}" fill="none" {stroke}/>{"".join(dots)}' if path else ""


def _legend(lines: Sequence[Line]) -> tuple[str, int]:
    """The names beside strokes of their colours, in as many lines as they need, and where the chart ends."""
    parts, x, y = [], float(LEFT), HEIGHT + 12
    for line in lines:
        width = 34 + LETTER * len(line.name)
        if x > LEFT and x + width > WIDTH:
            x, y = float(LEFT), y + LEGEND_LINE
        dash = ' stroke-dasharray="5 3"' if line.dash else ""
        parts.append(f'<path d="M{x:.0f} {y - 4}h18" stroke="{line.colour}" stroke-width="3"{dash}/>')
        parts.append(f'<text x="{x + 23:.0f}" y="{y}">{escape(line.name)}</text>')
        x += width
    return "".join(parts), y + 8
