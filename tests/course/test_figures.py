"""Figures: plain data in, a picture out that says what the data say."""

import re
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shira_lab.analysis.spectrum import spectrum
from shira_lab.budget import num_params
from shira_lab.course.figures import (
    budget_figure,
    curves_figure,
    entries_figure,
    loss_figure,
    mask_pixels,
    mask_png,
    mask_profile,
    profile_figure,
    rank_figure,
    spectrum_figure,
    training_figure,
    training_svg,
)
from shira_lab.course.figures.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Line
from shira_lab.course.figures.entries import pooled
from shira_lab.course.figures.theme import PICTURES, PLOTLY
from shira_lab.course.figures.training import DASHED, loss_curves, rank_curves
from shira_lab.training.history import EvalPoint, History, RankPoint, StepPoint
from shira_lab.training.settings import Settings

FLOOR = 0.33


def a_run(steps: int = 40) -> History:
    history = History(Settings(steps=60))
    for step in range(1, steps + 1):
        history.steps.append(StepPoint(step, 7 / step, 0.1 * step))
    for step in range(0, steps + 1, 20):
        history.evals.append(EvalPoint(step, 7 / (step + 1), FLOOR))
    for layer in ("layers.0.fc1", "layers.1.fc1"):
        history.ranks += [RankPoint(step, layer, 190 + step // 20, 20.0, 80.0, (1.0,), (4, 3)) for step in (20, 40)]
    history.controls = [
        RankPoint(0, layer, 192, s, 90.0, (1.0,), (4, 3)) for layer, s in zip("ab", (30, 40), strict=True)
    ]
    return history


def decode(png: bytes) -> np.ndarray:
    """The bits of one of our PNGs, by the specification: signature, IHDR, PLTE, IDAT."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
    start = png.index(b"IDAT")
    data = zlib.decompress(png[start + 4 : start + 4 + int.from_bytes(png[start - 4 : start])])
    lines = np.frombuffer(data, dtype=np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()
    return np.unpackbits(lines[:, 1:], axis=1)[:, :width].astype(bool)


masks = st.integers(1, 40).flatmap(
    lambda m: st.integers(1, 40).flatmap(
        lambda n: st.tuples(st.just((m, n)), st.lists(st.integers(0, m * n - 1), unique=True))
    )
)


@settings(max_examples=40, deadline=None)
@given(masks)
def test_a_picture_of_a_mask_is_the_mask(drawn: tuple[tuple[int, int], list[int]]) -> None:
    shape, positions = drawn
    dense = np.zeros(shape, dtype=bool)
    dense.flat[positions] = True
    assert (mask_pixels(positions, shape) == dense).all()
    assert (decode(mask_png(positions, shape)) == dense).all()


@settings(max_examples=40, deadline=None)
@given(masks, st.integers(1, 12))
def test_a_pooled_picture_hides_no_entry_and_adds_none(
    drawn: tuple[tuple[int, int], list[int]], max_pixels: int
) -> None:
    shape, positions = drawn
    pixels = mask_pixels(positions, shape, max_pixels)
    assert max(pixels.shape) <= max_pixels
    side = -(-max(shape) // max_pixels)
    under = {(p // shape[1] // side, p % shape[1] // side) for p in positions}
    assert under == set(zip(*map(list, np.nonzero(pixels)), strict=True))


@settings(max_examples=40, deadline=None)
@given(masks)
def test_a_profile_counts_every_entry_once_in_its_row_and_column(drawn: tuple[tuple[int, int], list[int]]) -> None:
    shape, positions = drawn
    profile = mask_profile(positions, shape)
    assert profile.rows.sum() == profile.columns.sum() == len(positions)
    assert profile.empty_rows == shape[0] - len({p // shape[1] for p in positions})
    assert profile.empty_columns == shape[1] - len({p % shape[1] for p in positions})


def test_a_profile_figure_names_the_empty_rows() -> None:
    figure = profile_figure([0, 1, 2], (4, 3))
    assert [trace.name for trace in figure.data] == ["rows, 3 empty", "columns, 0 empty"]
    assert list(figure.data[0].y) == [3, 0, 0, 0]


def test_positions_may_be_a_tensor() -> None:
    assert mask_png(torch.tensor([1, 5]), (2, 3)) == mask_png([1, 5], (2, 3))


def test_a_spectrum_ends_at_its_rank() -> None:
    figure = spectrum_figure({"low": spectrum(torch.ones(6, 2) @ torch.ones(2, 5)), "full": spectrum(torch.eye(5))})
    assert [len(trace.y) for trace in figure.data] == [1, 5]
    assert figure.layout.yaxis.type == "log"
    assert figure.data[1].name == "full: rank 5, stable rank 5.0, effective rank 5.0"


def test_the_spectrum_of_zero_is_an_empty_curve() -> None:
    assert len(spectrum_figure(spectrum(torch.zeros(3, 4))).data[0].y) == 0


def test_a_loss_figure_holds_the_losses_and_the_floor() -> None:
    run = a_run()
    training, held_out, floor = loss_figure(run).data
    assert list(training.y) == [point.loss for point in run.steps]
    assert list(held_out.x) == [0, 20, 40]
    assert list(floor.y) == [FLOOR, FLOOR] and list(floor.x) == [0, run.settings.steps]


def test_a_rank_figure_shows_the_mean_and_every_layer() -> None:
    figure = rank_figure(a_run())
    assert [trace.name for trace in figure.data[:6:2]] == ["rank", "effective rank", "stable rank"]
    assert list(figure.data[0].y) == [191, 192]
    assert list(figure.data[1].text) == ["layers.0.fc1"] * 2 + [None] + ["layers.1.fc1"] * 2 + [None]


def test_a_rank_figure_shows_the_ranks_of_random_values_as_level_lines() -> None:
    means, levels = rank_figure(a_run()).data[:6:2], rank_figure(a_run()).data[6:]
    assert {(trace.name, trace.line.dash) for trace in levels} == {("random values", "dash")}
    assert [trace.line.color for trace in levels] == [trace.line.color for trace in means]
    assert not any(trace.showlegend for trace in levels)
    assert {figure(a_run()).layout.annotations[0].text for figure in (rank_figure, training_figure)} == {DASHED}
    assert [list(trace.y) for trace in levels] == [[192, 192], [90, 90], [35, 35]]
    assert list(levels[0].x) == [0, 60]


def test_a_training_figure_is_drawn_before_the_first_step_and_after_the_last() -> None:
    assert [len(trace.x) for trace in training_figure(History(Settings())).data] == [0, 0, 2, *[0] * 9]
    run = a_run()
    for trace, curve in zip(training_figure(run).data, [*loss_curves(run), *rank_curves(run)], strict=True):
        assert list(trace.x) == list(curve.x) and list(trace.y) == list(curve.y)


def test_a_budget_figure_compares_methods_at_equal_numbers() -> None:
    figure = budget_figure((192, 192), {"SHiRA": {1: 150, 8: 192}, "LoRA": {1: 1, 8: 8}})
    assert list(figure.data[0].x) == list(figure.data[1].x) == [num_params(1, (192, 192)), num_params(8, (192, 192))]


def test_a_training_chart_says_in_words_what_it_shows_before_the_first_step_and_after_the_last() -> None:
    before, after = (re.findall(r'aria-label="(.*?)"', training_svg(run)) for run in (History(Settings()), a_run()))
    assert before[0] == (
        "SHiRA magnitude, r=8: loss: loss (nats/token) over step; at the end training loss: no point yet, held-out "
        "loss: no point yet, entropy floor: no point yet."
    )
    assert after[0].endswith(f"held-out loss {a_run().evals[-1].loss:.3g}, entropy floor {FLOOR}.")
    assert after[1].startswith("SHiRA magnitude, r=8: ranks: rank of the update over step; at the end rank 192, ")


def test_a_line_of_a_chart_lies_between_its_axes_and_is_cut_where_a_point_is_missing() -> None:
    chart = Chart("a < b", "x", "y", 10, [Line([0, 5, None, 10], [0.0, 2.0, None, 4.0], "one", "#000")])
    path = re.search(r'class="line" d="(.*?)"', chart.svg())
    assert path
    points = [tuple(map(float, point.split())) for point in re.split("[ML]", path[1])[1:]]
    assert re.findall("[ML]", path[1]) == ["M", "L", "M"]
    assert points[0] == (LEFT, HEIGHT - BOTTOM) and points[2][0] == WIDTH - RIGHT
    assert TOP < points[2][1] < points[1][1] < points[0][1]
    assert "a &lt; b" in chart.svg()


def test_a_logarithmic_chart_has_a_power_of_ten_at_each_tick_and_keeps_what_is_too_small_inside() -> None:
    chart = Chart("t", "x", "y", 2, [Line([0, 1, 2], [50.0, 1.0, 1e-9], "one", "#000")], log=True)
    path = re.search(r'class="line" d="(.*?)"', chart.svg())
    assert path and float(path[1].split()[-1]) == HEIGHT - BOTTOM
    assert all(f">1e{power}</text>" in chart.svg() for power in range(-2, 3))


def test_the_title_of_a_chart_begins_right_of_the_name_of_its_vertical_axis() -> None:
    drawn = Chart("t", "x", "a name as long as the chart is high, or so", 2, []).svg()
    title, name = re.search(r'<text x="(\d+)" y="16"', drawn), re.search(r"translate\((\d+) \d+\) rotate", drawn)
    assert title and name and int(title[1]) > int(name[1]) + 12


@pytest.mark.parametrize("figure", [loss_figure(a_run()), rank_figure(a_run()), training_figure(a_run())])
def test_axes_have_titles_and_units(figure: object) -> None:
    titles = [axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes())]
    assert all(titles)
    assert "step" in titles and {"loss (nats/token)", "rank of the update"} & set(titles)


def test_a_displayed_figure_offers_no_upload_and_reads_as_a_line_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PICTURES, raising=False)
    bundle = loss_figure(a_run())._repr_mimebundle_()
    assert bundle[PLOTLY]["config"]["showSendToCloud"] is False
    assert bundle["text/plain"] == (
        "Figure: Loss of SHiRA magnitude, r=8 (training loss; held-out loss; entropy floor)"
    )
    assert "image/png" not in bundle


def test_the_picture_of_a_displayed_figure_has_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    displayed: list[dict[str, Any]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: displayed.append(options["metadata"]))
    figure = loss_figure(a_run())
    figure._ipython_display_()
    assert displayed == [{"image/png": {"alt": figure.alt}}]


def test_figures_need_neither_widgets_nor_transformers() -> None:
    look = "import shira_lab.course.figures, sys; print(*{'ipywidgets', 'transformers', 'anywidget'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_tile_shows_the_largest_entry_under_it_as_a_part_of_the_largest_of_all() -> None:
    matrix = np.zeros((5, 6))
    matrix[0, 0], matrix[4, 5], matrix[3, 1] = -2, 1, 4
    assert pooled(matrix, max_tiles=3).tolist() == [[0.5, 0, 0], [1, 0, 0], [0, 0, 0.25]]
    assert pooled(np.zeros((3, 2))).tolist() == np.zeros((3, 2)).tolist()


def test_matrices_stand_side_by_side_upright_and_square() -> None:
    figure = entries_figure({"W": np.eye(3), "S": np.ones((2, 3))}, "two")
    assert [np.array(one.z).tolist() for one in figure.data] == [np.eye(3).tolist(), np.ones((2, 3)).tolist()]
    assert [axis.autorange for axis in figure.select_yaxes()] == ["reversed"] * 2
    assert [axis.scaleanchor for axis in figure.select_yaxes()] == ["x", "x2"]
    assert figure.alt == "Figure: two"


def test_a_curve_upon_another_is_seen() -> None:
    figure = curves_figure({"one": ([1, 2], [3, 4]), "two": ([1, 2], [3, 4])}, "same", "step", "loss", logarithmic=True)
    assert [curve.line.dash for curve in figure.data] == ["solid", "dash"]
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert curves_figure({}, "none", "x", "y").layout.yaxis.type == "linear"
