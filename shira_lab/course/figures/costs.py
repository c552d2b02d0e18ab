"""What training costs as bars: memory in its parts, and the file that is left, method beside method.

Drawn as SVG, which is small enough to follow a slider and shows where no kernel runs.
"""

from collections.abc import Mapping
from html import escape

from shira_lab.analysis.costs import Cost, in_units
from shira_lab.course.figures.chart import ticks
from shira_lab.course.figures.theme import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY

#: Parts of the memory in the order in which they are stacked, with their colours.
PARTS = {"weights": GREY, "adapter": PURPLE, "gradients": ORANGE, "optimizer": BLUE, "activations": SKY}
FILES = {"PEFT's layout": ("file", BLUE), "compact form": ("compact_file", GREEN)}

WIDTH, LEFT, RIGHT = 620, 64, 92
BAR, GAP, TITLE, LEGEND, AXIS = 24, 10, 24, 24, 40


def costs_svg(costs: Mapping[str, Cost]) -> str:
    """Two panels of horizontal bars: memory to train, and the adapter's file. A whole model's file is left to the
    text, as it would hide the others.

    Args:
        costs: by the method's name; the last one is full fine-tuning.
    """
    memory = [
        (name, [(getattr(cost, part), colour) for part, colour in PARTS.items()], in_units(cost.memory))
        for name, cost in costs.items()
    ]
    adapters = list(costs.items())[:-1]
    files = [
        (name, [(getattr(cost, kind), colour)], in_units(getattr(cost, kind)))
        for name, cost in adapters
        for kind, colour in FILES.values()
        if kind == "file" or cost.compact_file != cost.file
    ]
    above, top = _panel("memory to train", memory, PARTS, 0)
    legend = {label: colour for label, (_, colour) in FILES.items()}
    below, height = _panel("the adapter's file", files, legend, top)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(costs_in_words(costs))}" style="max-width:100%;background:white" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="#222">'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>{above}{below}</svg>'
    )


def costs_in_words(costs: Mapping[str, Cost]) -> str:
    """What the bars show, as a sentence."""
    memory = ", ".join(f"{name} {in_units(cost.memory)}" for name, cost in costs.items())
    files = ", ".join(f"{name} {in_units(cost.file)}" for name, cost in costs.items())
    return f"Memory to train: {memory}. File on disk: {files}."


def _panel(
    title: str,
    bars: list[tuple[str, list[tuple[int, str]], str]],
    legend: Mapping[str, str],
    top: int,
) -> tuple[str, int]:
    """One panel below ``top``, and where it ends. A bar is its name, its stacked (size, colour), and its label."""
    y = top + TITLE
    parts = [f'<text x="8" y="{y - 6}" font-weight="600">{escape(title)}</text>']
    x = LEFT
    for name, colour in legend.items():
        parts.append(f'<rect x="{x}" y="{y + 4}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="{y + 15}">{escape(name)}</text>')
        x += 34 + 7 * len(name)
    y += LEGEND
    bottom = y + len(bars) * (BAR + GAP)
    limit = max(sum(size for size, _ in stack) for _, stack, _ in bars) or 1
    scale = (WIDTH - LEFT - RIGHT) / limit
    for tick in ticks(limit):
        x = round(LEFT + tick * scale)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{y}" y2="{bottom}" stroke="#E5E5E5"/>')
        parts.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle" font-size="12">{_round(tick)}</text>')
    for number, (name, stack, label) in enumerate(bars):
        at = y + number * (BAR + GAP) + GAP // 2
        parts.append(f'<text x="{LEFT - 8}" y="{at + 17}" text-anchor="end">{escape(name)}</text>')
        end = float(LEFT)
        for size, colour in stack:
            width = size * scale
            parts.append(f'<rect x="{end:.1f}" y="{at}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
            end += width
        parts.append(f'<text x="{end + 6:.1f}" y="{at + 17}" font-weight="600">{label}</text>')
    parts.append(f'<line x1="{LEFT}" x2="{LEFT}" y1="{y}" y2="{bottom}" stroke="#444"/>')
    return "".join(parts), bottom + AXIS


def _round(size: float) -> str:
    return in_units(size).replace(".0 ", " ") if size else "0"
