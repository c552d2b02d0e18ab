"""The update of a layer as it grows: small pictures that hide nothing, and a view that keeps up with a run."""

from base64 import b64encode
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shira_lab.course.figures import growth_figure
from shira_lab.course.figures.growth import MAX_PANELS, tiles
from shira_lab.course.widgets import UpdateView
from shira_lab.course.widgets.update_view import NOTHING_YET, RANDOM
from shira_lab.training.history import History, PicturePoint, RankPoint
from shira_lab.training.overview import overview
from shira_lab.training.settings import Settings

LAYERS = ("layers.0.q_proj", "layers.0.fc1")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))
def test_an_overview_shows_the_largest_entry_of_every_tile(m: int, n: int, max_tiles: int) -> None:
    matrix = torch.randn(m, n)
    seen = overview(matrix, max_tiles)
    side = -(-max(m, n) // max_tiles)
    assert max(seen.shape) <= max_tiles
    for i, j in np.ndindex(*seen.shape):
        tile = matrix[i * side : (i + 1) * side, j * side : (j + 1) * side]
        assert seen[i, j] == tile.abs().max()


def a_run(measurements: int) -> History:
    """A run whose largest entry after the i-th measurement is i, with a picture of one row of two tiles."""
    history = History(Settings())
    history.controls = [RankPoint(0, layer, 2, 2.0, 2.0, (3.0, 4.0), (2, 2)) for layer in LAYERS]
    for step in range(measurements):
        for layer in LAYERS:
            levels = b64encode(bytes([0, 255 if step else 0])).decode()
            values = (float(step), step / 2) if step else (0.0, 0.0)
            history.ranks.append(RankPoint(10 * step, layer, 2 if step else 0, 1.2, 1.8, values, (2, 2)))
            history.pictures.append(PicturePoint(10 * step, layer, (1, 2), float(step), levels))
    return history


@pytest.fixture
def view() -> Iterator[UpdateView]:
    app = UpdateView(a_run(3))
    yield app
    app.close()


def test_tiles_give_back_the_entries() -> None:
    assert tiles(a_run(3).pictures[-1]).tolist() == [[0.0, 2.0]]


def test_a_growth_figure_has_a_picture_and_a_curve_for_each_step_shown() -> None:
    figure = growth_figure(a_run(30), LAYERS[1])
    pictures = [trace for trace in figure.data if trace.type == "heatmap"]
    curves = [trace for trace in figure.data if trace.type == "scatter"]
    assert len(pictures) == len(curves) - 1 == MAX_PANELS
    last, control = curves[-2:]
    assert last.name == "step 290: rank 2, stable rank 1.2, effective rank 1.8" and list(last.y) == [29.0, 14.5]
    assert control.name == "random values: rank 2, stable rank 2.0, effective rank 2.0"
    assert np.isclose(np.hypot(*control.y), np.hypot(*last.y)) and np.isclose(control.y[1] / control.y[0], 4 / 3)
    assert figure.layout.coloraxis.cmax == 29.0


def test_a_growth_figure_of_nothing_is_empty() -> None:
    assert len(growth_figure(History(Settings()), LAYERS[0]).data) == 0


def test_a_view_begins_with_the_newest_measurement_of_the_first_layer(view: UpdateView) -> None:
    assert (view.layer, view.measurement, view.controls["measurement"].max) == (LAYERS[0], 3, 3)
    assert "After step 20: largest entry 2, rank 2" in view._caption.value
    assert view._tiles.brightness == 1.0


def test_an_earlier_measurement_is_paler_on_the_common_scale(view: UpdateView) -> None:
    view.controls["measurement"].value = 2
    assert view._tiles.brightness == 0.5 and view._tiles.alt.endswith("after step 10, dark where an entry is large.")
    assert np.frombuffer(view._spectrum.values, dtype=np.float32)[:2].tolist() == [1.0, 0.5]


def test_a_view_shows_random_values_beside_the_update(view: UpdateView) -> None:
    assert [curve["name"] for curve in view._spectrum.curves] == ["update", RANDOM]
    update, control = np.frombuffer(view._spectrum.values, dtype=np.float32).reshape(2, 2)
    assert np.isclose(np.linalg.norm(control), np.linalg.norm(update))
    assert f"With {RANDOM}: rank 2, stable rank 2.0, effective rank 2.0." in view._caption.value


def test_the_newest_measurement_is_followed_and_an_older_one_is_kept(view: UpdateView) -> None:
    view.show(a_run(4))
    assert view.measurement == 4
    view.measurement = 2
    view.show(a_run(5))
    assert (view.measurement, view.controls["measurement"].max) == (2, 5)


def test_a_new_run_begins_again(view: UpdateView) -> None:
    view.controls["layer"].value = LAYERS[1]
    view.show(History(Settings()))
    assert view._caption.value == NOTHING_YET
    view.show(a_run(1))
    assert view.measurement == 1 and "After step 0: largest entry 0, rank 0" in view._caption.value


def test_empty_pictures_are_not_shown_before_there_is_something_to_see() -> None:
    view = UpdateView(History(Settings()))
    assert view._pictures.layout.display == "none"
    view.show(a_run(1))
    assert view._pictures.layout.display is None
