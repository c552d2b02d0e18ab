"""What SHiRA costs by counting and by the clock, at one size: a dot for each on an axis of ratios."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log10

from shira_lab.course.figures.theme import BLUE, GREY
from shira_lab.course.speed.growth import MASK, STEP, SWITCH, Growth, Point

WIDTH, LEFT, RIGHT, TOP, ROW, AXIS = 640, 178, 24, 8, 34, 64
LOW, HIGH, TICKS = 0.005, 6.0, (0.01, 0.03, 0.1, 0.3, 1, 3)
#: Each row's name, its cost in the measurement, and the side that is meant.
ROWS = (
    ("SHiRA's training step", STEP, "SHiRA"),
    ("LoRA's training step", STEP, "LoRA"),
    ("dense gradient's step", STEP, "dense gradient"),
    ("SHiRA's switch", SWITCH, "SHiRA"),
    ("SHiRA's random mask", MASK, "SHiRA"),
)


@dataclass(frozen=True)
class Compared:
    """One cost as a ratio to what it is compared with.

    Attributes:
        counted: of multiplications, of numbers written, or of draws.
        median, low, high: of times, with the ends of the 95% interval.
    """

    name: str
    counted: float
    median: float
    low: float
    high: float


def counted(cost: str, side: str, density: float) -> float:
    """The ratio that counting gives, for k = density * m * n trained entries.

    A frozen layer's step is two products of mnT multiplications. A dense gradient is a third one, SHiRA's has kT of
    them, LoRA's thin products 3kT. A switch writes 2k numbers where LoRA's writes 2mn; a mask takes k draws of mn.
    """
    if cost != STEP:
        return density
    return 1 + {"SHiRA": density, "LoRA": 3 * density, "dense gradient": 1.0}[side] / 2


def compared(growth: Growth, size: int) -> list[Compared]:
    """The rows for the measured square weight of this size."""
    found = []
    for name, cost, side in ROWS:
        point = next(point for point in growth.series(cost, "size") if (point.m, point.n) == (size, size))
        found.append(Compared(name, counted(cost, side, point.density), *point.ratios[side]))
    return found


def sizes(growth: Growth) -> list[int]:
    """The sizes of the square weights at which all of the costs were measured, rising."""
    measured = [
        {_square(point) for point in growth.series(cost, "size")} for cost in dict.fromkeys(c for _, c, _ in ROWS)
    ]
    return sorted(set.intersection(*measured) - {0})


def _square(point: Point) -> int:
    return point.m if point.m == point.n else 0


def count_svg(rows: Sequence[Compared]) -> str:
    """A hollow dot for what is counted, a full one with its interval for what was measured; the line is "equal"."""
    bottom = TOP + ROW * len(rows)
    parts = []
    for tick in TICKS:
        stroke = 'stroke="#444" stroke-width="1.5"' if tick == 1 else 'stroke="#E5E5E5"'
        parts.append(f'<path d="M{_x(tick):.1f} {TOP}V{bottom}" {stroke}/>')
        parts.append(f'<text x="{_x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    for number, one in enumerate(rows):
        y = TOP + ROW * number + ROW // 2
        parts.append(f'<text x="{LEFT - 12}" y="{y + 5}" text-anchor="end">{escape(one.name)}</text>')
        parts.append(f'<path d="M{_x(one.low):.1f} {y}H{_x(one.high):.1f}" stroke="{BLUE}" stroke-width="3"/>')
        parts.append(f'<circle cx="{_x(one.median):.1f}" cy="{y}" r="6" fill="{BLUE}"/>')
        parts.append(_hollow(_x(one.counted), y))
    y = bottom + 50
    legend = (
        f'{_hollow(LEFT + 8, y)}<text x="{LEFT + 20}" y="{y + 5}">counted</text>'
        f'<circle cx="{LEFT + 108}" cy="{y}" r="6" fill="{BLUE}"/><text x="{LEFT + 120}" y="{y + 5}">measured</text>'
    )
    said = "ratio to what it is compared with; 1: equal"
    title = f'<text x="{(LEFT + WIDTH - RIGHT) // 2}" y="{bottom + 34}" text-anchor="middle">{said}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + AXIS}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(count_in_words(rows))}" style="max-width:100%;background:white" '
        f'font-family="system-ui, sans-serif" font-size="14" fill="#222">{"".join(parts)}{title}{legend}</svg>'
    )


def count_in_words(rows: Sequence[Compared]) -> str:
    """Every row's two ratios.

    >>> count_in_words([Compared("a", 0.5, 2.0, 1.9, 2.1)])
    'a: counted 0.5, measured 2'
    """
    return "; ".join(f"{one.name}: counted {one.counted:.3g}, measured {one.median:.3g}" for one in rows)


def _hollow(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y}" r="6" fill="none" stroke="{GREY}" stroke-width="3"/>'


def _x(ratio: float) -> float:
    share = (log10(min(max(ratio, LOW), HIGH)) - log10(LOW)) / (log10(HIGH) - log10(LOW))
    return LEFT + share * (WIDTH - RIGHT - LEFT)
