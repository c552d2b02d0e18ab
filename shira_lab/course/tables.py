"""Tables of a lesson: rows and columns where HTML is read, aligned lines elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of texts; the first row and the first column are headers. As the last line of a cell, it is shown."""

    rows: Sequence[Sequence[str]]

    def __repr__(self) -> str:
        return as_text(self.rows)

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {"text/html": as_html(self.rows), "text/plain": repr(self)}


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    places = ["<", *(">" * (len(widths) - 1))]
    return "\n".join(
        "  ".join(f"{cell:{place}{width}}" for cell, place, width in zip(row, places, widths, strict=True))
        for row in rows
    )


def as_html(rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Rows as an HTML table whose first row and first column are headers."""
    cell = "padding:2px 0 2px 16px;text-align:{};font-weight:{};vertical-align:top"
    head = "".join(f'<th scope="col" style="{cell.format("right", 600)}">{escape(name)}</th>' for name in rows[0][1:])
    body = [f'<tr><th scope="col" style="{cell.format("left", 600)}">{escape(rows[0][0])}</th>{head}</tr>']
    for first, *others in rows[1:]:
        data = "".join(f'<td style="{cell.format("right", "normal")}">{escape(text)}</td>' for text in others)
        body.append(f'<tr><th scope="row" style="{cell.format("left", "normal")}">{escape(first)}</th>{data}</tr>')
    above = f'<caption style="text-align:left;font-weight:600;padding:0 0 4px 16px">{escape(caption)}</caption>'
    style = "border-collapse:collapse;line-height:1.5;font-variant-numeric:tabular-nums"
    return f'<table style="{style}">{above if caption else ""}{"".join(body)}</table>'
