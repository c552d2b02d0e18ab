"""A run as one HTML page that needs no network: summary, texts before and after, curves, spectra and the mask."""

import html
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path

from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.storage.files import write_atomic
from shira_lab.analysis.spectrum import spectrum
from shira_lab.course.figures import Figure, mask_png, ranks_in_words, spectrum_figure, training_figure
from shira_lab.course.figures.theme import CONFIG, HEIGHT
from shira_lab.layers import AdapterLayer, ShiraAdapter
from shira_lab.training.finetuned import Finetuned
from shira_lab.training.methods import delta_weight
from shira_lab.training.summary import summary

LINE_HEIGHT = 30  # of a legend with one layer a line, in pixels
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
th { text-align: left; font-weight: 600; padding-right: 1.5rem; vertical-align: top }
.tales { display: flex; flex-wrap: wrap; gap: 1rem }
.tales section { flex: 1 1 20rem; background: #f4f4f4; padding: .5rem 1rem; border-radius: 6px }
img { image-rendering: pixelated; width: 24rem; max-width: 100%; border: 1px solid #444 }
"""


def write_report(path: Path, run: Finetuned, saved_bytes: int) -> None:
    """Write the report of a run.

    Raises:
        StorageError: when it cannot be written.
    """
    history = run.history
    spectra = {layer: spectrum(delta_weight(run.model, run.base, layer)) for layer in history.layers}
    singular_values = spectrum_figure(spectra).update_layout(height=HEIGHT + LINE_HEIGHT * len(spectra))
    title = f"{history.settings.label} on {history.settings.world}"
    body = [f"<h1>{html.escape(title)}</h1>", _table(summary(history, saved_bytes)), *_tales(run)]
    body += ["<h2>How it learned</h2>", *_figures([training_figure(history)])]
    body += ["<h2>What the updates look like</h2>", *_figures([singular_values], first=False)]
    body += [*_controls(run), *_mask(run)]
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>"
    )
    write_atomic(path, page.encode())


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = (f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>' for name, value in rows)
    return f"<table>{''.join(cells)}</table>"


def _tales(run: Finetuned) -> list[str]:
    before, after = run.before_and_after()
    tales = (
        f"<section><h3>{when}</h3><p>{html.escape(text)}</p></section>"
        for when, text in (("Before", before), ("After", after))
    )
    return ["<h2>The same beginning, continued twice</h2>", f'<div class="tales">{"".join(tales)}</div>']


def _figures(figures: Iterable[Figure], first: bool = True) -> list[str]:
    """Figures as HTML; the first of a page brings plotly.js with it."""
    return [
        f'<div role="img" aria-label="{html.escape(figure.alt)}">'
        f"{figure.to_html(full_html=False, include_plotlyjs=first, config=CONFIG)}</div>"
        for figure in figures
    ]


def _controls(run: Finetuned) -> list[str]:
    """The ranks of each update beside those of random values in the same places: what they share, the mask gives."""
    history = run.history
    rows = [
        (point.layer, f"{ranks_in_words(point)} | {ranks_in_words(history.control_of(point.layer))}")
        for point in history.last_ranks
    ]
    return ["<h3>Trained | random values in the same places</h3>", _table(rows)] if rows else []


def _mask(run: Finetuned) -> list[str]:
    """The mask of the first watched layer, if there is one."""
    if not isinstance(run.model, PeftModel) or not run.history.layers:
        return []
    path = run.history.layers[0]
    layer = run.model.get_base_model().get_submodule(path)
    assert isinstance(layer, AdapterLayer)
    adapter = layer.adapters[run.model.active_adapter]
    if not isinstance(adapter, ShiraAdapter):
        return []
    picture = b64encode(mask_png(adapter.positions.numpy(), adapter.shape)).decode()
    words = f"{adapter.positions.numel():,} of {adapter.shape[0]} x {adapter.shape[1]} entries train in {path}"
    image = f'<img alt="The mask: {words}" src="data:image/png;base64,{picture}">'
    return [f"<figure>{image}<figcaption>{words}</figcaption></figure>"]
