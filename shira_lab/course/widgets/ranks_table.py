"""The ranks of several masks as an HTML table: theory first, then a row for each mask, then LoRA."""

from collections.abc import Mapping, Sequence
from html import escape

from shira_lab.analysis.rank import RankReport, expected_empty_rows, expected_rank
from shira_lab.analysis.spectrum import Spectrum
from shira_lab.budget import Shape, num_params
from shira_lab.course.figures.methods import looks

HEAD = ("update", "entries", "empty rows", "structural rank", "rank", "stable rank", "effective rank")
LORA = "LoRA"
WAITING, NOTHING = "...", "-"


def ranks_table(shape: Shape, r: int, reports: Mapping[str, RankReport], spectra: Mapping[str, Spectrum]) -> str:
    """A table of these masks of r(m + n) entries, with the measured ranks of those that have a spectrum so far."""
    k = num_params(r, shape)
    theory = [f"{k:,}", f"{expected_empty_rows(shape, k):.1f}", f"{expected_rank(shape, k):.1f}"]
    colours = {name: look.colour for name, look in looks((*reports, LORA)).items()}
    rows = [_row("random, expected", "transparent", [*theory, NOTHING, NOTHING, NOTHING])]
    for name, report in reports.items():
        counted = [f"{report.entries:,}", str(report.empty_rows), str(report.structural_rank)]
        rows.append(_row(name, colours[name], [*counted, *_measured(spectra.get(name))]))
    bound = f"at most {min(r, *shape)}"
    rows.append(_row(LORA, colours[LORA], [f"{k:,}", "0", bound, *_measured(spectra.get(LORA))]))
    head = "".join(f'<th scope="col" style="{_style(number)};max-width:72px">{h}</th>' for number, h in enumerate(HEAD))
    style = "border-collapse:collapse;line-height:1.4;font-variant-numeric:tabular-nums"
    return f'<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _measured(spectrum: Spectrum | None) -> list[str]:
    if spectrum is None:
        return [WAITING] * 3
    return [str(spectrum.rank), f"{spectrum.stable_rank:.1f}", f"{spectrum.effective_rank:.1f}"]


def _row(name: str, colour: str, cells: Sequence[str]) -> str:
    """A row, with a stroke of the colour that the update's curve has in the plot."""
    stroke = f'<span style="display:inline-block;width:14px;height:3px;margin-right:6px;background:{colour}"></span>'
    data = "".join(f'<td style="{_style(number)}">{escape(cell)}</td>' for number, cell in enumerate(cells, start=1))
    return f'<tr><th scope="row" style="{_style(0)}">{stroke}{escape(name)}</th>{data}</tr>'


def _style(column: int) -> str:
    align, weight = ("left", "normal") if column == 0 else ("right", "600")
    return f"text-align:{align};font-weight:{weight};padding:2px 10px 2px 0;vertical-align:bottom"
