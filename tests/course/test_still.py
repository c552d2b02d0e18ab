"""The still of a view: everything that the view shows, as HTML that needs neither kernel nor trust."""

import asyncio
from base64 import b64decode

import ipywidgets
import pytest
import torch
from torch import nn

from shira_lab.analysis.spectrum import spectrum
from shira_lab.course.figures import mask_profile
from shira_lab.course.figures.margins import mask_and_margins_png
from shira_lab.course.widgets import MaskExplorer
from shira_lab.course.widgets.choice_pictures import LayerBars, ShareCurves
from shira_lab.course.widgets.controls import Slider, dropdown
from shira_lab.course.widgets.paint_canvas import PaintCanvas
from shira_lab.course.widgets.pictures import MaskCanvas, SpectrumPlot
from shira_lab.course.widgets.still import HINT, Still, as_html
from shira_lab.course.widgets.tile_canvas import TileCanvas

PNG = "data:image/png;base64,iVBORw0KGgo"


@pytest.mark.parametrize(
    ("widget", "expected"),
    [
        (Slider(description="r", value=7), "<span>r: <strong>7</strong></span>"),
        (dropdown("layer", [("first < last", 0)], 0), "<span>layer: <strong>first &lt; last</strong></span>"),
        (ipywidgets.Checkbox(True, description="all"), "<span>☑ all</span>"),
        (ipywidgets.RadioButtons(options=("a", "b"), value="b"), "<p>○ a<br>◉ b</p>"),
        (ipywidgets.RadioButtons(options=[("ja", "yes"), ("nein", "no")], value="no"), "<p>○ ja<br>◉ nein</p>"),
        (ipywidgets.RadioButtons(options={"eins": 1, "zwei": 2}, value=None), "<p>○ eins<br>○ zwei</p>"),
        (ipywidgets.RadioButtons(options=[("eins", 1), ("uno", 1)], value=1), "<p>◉ eins<br>○ uno</p>"),
        (ipywidgets.Button(description="Run"), ""),
        (ipywidgets.HTML("<b>kept</b>"), "<div><b>kept</b></div>"),
        (ipywidgets.HTML("gone", layout={"display": "none"}), ""),
        (ipywidgets.VBox([ipywidgets.Label("1 < 2"), ipywidgets.Label("3")]), "<div>1 &lt; 23</div>"),
        (ipywidgets.Tab([ipywidgets.Label("one"), ipywidgets.Label("two")], selected_index=1), "two"),
    ],
)
def test_a_widget_is_what_it_shows(widget: ipywidgets.Widget, expected: str) -> None:
    assert as_html(widget) == expected


def test_a_drawing_in_a_text_becomes_an_image_of_the_same_name() -> None:
    html = as_html(ipywidgets.HTML('before <svg role="img" aria-label="a &lt; b">x</svg> after'))
    source = html.split('src="data:image/svg+xml;base64,')[1].split('"')[0]
    assert b64decode(source).startswith(b'<svg xmlns="http://www.w3.org/2000/svg" role="img"')
    assert 'alt="a &lt; b"' in html and "before " in html and " after" in html


def test_a_picture_is_an_image_with_the_text_that_the_live_one_has() -> None:
    mask, tiles, paint, plot, curves, bars = (
        kind() for kind in (MaskCanvas, TileCanvas, PaintCanvas, SpectrumPlot, ShareCurves, LayerBars)
    )
    mask.show(torch.tensor([0, 5]), (3, 4))
    tiles.show(bytes(range(6)), (2, 3), 0.5, "six tiles")
    plot.show({"one": spectrum(torch.eye(3)), "two": spectrum(torch.ones(3, 3))})
    curves.show([1, 2], 2, {"mean": [0.5, 1.0]}, 0.1)
    bars.show({"a.q": 3, "a.k": 4}, {"a.q": 3, "a.k": 3}, {"a.q": 12, "a.k": 12}, "a.q")
    for widget in (mask, tiles, plot, curves):
        assert f'alt="{widget.alt}"' in as_html(widget)
    assert all(PNG in as_html(widget) for widget in (mask, tiles, paint))
    assert all("data:image/svg+xml;base64," in as_html(widget) for widget in (plot, curves))
    assert bars.alt in as_html(bars) and "4 train, 33.3%" in as_html(bars)


def test_the_still_follows_the_view_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    for name in ("display", "update_display"):
        monkeypatch.setattr(f"IPython.display.{name}", lambda data, **_: shown.append(data.get("text/html", "view")))

    async def move() -> None:
        app = MaskExplorer(nn.Sequential(nn.Linear(48, 64)), r=2)
        app._ipython_display_()
        app.r = 3
        app.r = 4
        await asyncio.sleep(1.5)
        app.r = 5
        app.close()
        await asyncio.sleep(1.5)

    asyncio.run(move())
    first, view, last = shown
    assert HINT in first and "r(m + n) = 2 *" in first and view == "view" and "r(m + n) = 4 *" in last


def test_at_the_end_of_a_cell_the_still_has_what_its_view_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    for name in ("display", "update_display"):
        monkeypatch.setattr(f"IPython.display.{name}", lambda data, **_: shown.append(data.get("text/html", "view")))

    async def a_cell() -> None:
        app = MaskExplorer(nn.Sequential(nn.Linear(48, 64)), r=2)
        app._ipython_display_()
        app._still.catch_up()
        app._still.catch_up()
        app.close()

    asyncio.run(a_cell())
    first, _, complete = shown
    assert "rank of a random delta" not in first and "rank of a random delta" in complete


def test_the_bars_along_a_mask_are_in_its_still() -> None:
    mask = MaskCanvas()
    mask.show(torch.tensor([0, 5]), (3, 4), mask_profile([0, 5], (3, 4)))
    png = b64decode(mask.still().split("base64,")[1].split('"')[0])
    assert png == mask_and_margins_png([0, 5], (3, 4))


def test_pictures_beside_each_other_stay_together() -> None:
    one, two, three = (ipywidgets.Label(name) for name in ("one", "two", "three"))
    html = as_html(ipywidgets.Box([one, ipywidgets.VBox([two, three])]))
    assert html.endswith('">one<div>twothree</div></div>')


def test_a_drawing_keeps_its_room_as_an_image() -> None:
    assert 'style="max-width:100%;flex:1 1 340px"' in as_html(ipywidgets.HTML('<svg style="flex:1 1 340px"></svg>'))


def test_a_still_without_a_hint_has_none() -> None:
    assert HINT not in Still(ipywidgets.Label("x"), lambda: "x", hint="").bundle()["text/html"]
