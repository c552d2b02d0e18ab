"""The film of a mask that moves: its pixels are the entries, and the view keeps up with a run."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from shira_lab import PeftModel, ShiraConfig, get_peft_model
from shira_lab.course.figures.film import FILM_COLOURS, film_pixels
from shira_lab.course.figures.training import rank_curves
from shira_lab.course.widgets import FilmView, FineTuneLab
from shira_lab.course.widgets.film_view import STAYS
from shira_lab.training.history import History, RankPoint
from shira_lab.training.moving.film import Film
from shira_lab.training.settings import Settings

#: Of the mask before and after each swap, in a weight of (2, 3).
MASKS = ([0, 1, 2, 3, 4], [0, 1, 2, 3, 5], [1, 2, 3, 4, 5])
LAYERS = ("first", "second")


def filmed(swaps: int) -> History:
    layers = nn.ModuleDict({name: nn.Linear(3, 2) for name in LAYERS})
    model = get_peft_model(layers, ShiraConfig(r=1, target_modules=list(LAYERS)))
    move(model, MASKS[0])
    history = History(Settings())
    film = Film(history, model, list(LAYERS))
    for number in range(swaps):
        move(model, MASKS[number + 1])
        film.frame(10 * (number + 1))
    return history


def move(model: PeftModel, mask: list[int]) -> None:
    for _, layer in model.base_model.adapter_layers():
        layer.set_positions("default", torch.tensor(mask))


@pytest.fixture
def view() -> Iterator[FilmView]:
    app = FilmView(filmed(2))
    yield app
    app.close()


def test_a_pixel_says_whether_its_entry_was_kept_dropped_or_grown() -> None:
    first, second = filmed(2).swaps_of("second")
    assert film_pixels(first).tolist() == [[1, 1, 1], [1, 2, 3]]
    assert film_pixels(second).tolist() == [[2, 1, 1], [1, 3, 1]]
    assert (second.kept, second.grown, second.ever, second.rank) == (4, 1, 6, 2)


def test_of_a_large_weight_no_move_is_too_small_to_see() -> None:
    model = get_peft_model(nn.ModuleDict({"fc": nn.Linear(1000, 4)}), ShiraConfig(r=1, target_modules=["fc"]))
    history = History(Settings())
    film = Film(history, model, ["fc"])
    [(_, layer)] = model.base_model.adapter_layers()
    positions = layer.get_adapter("default").positions
    outside = next(at for at in range(4000) if at not in set(positions.tolist()))
    layer.set_positions("default", torch.cat([positions[1:], torch.tensor([outside])]).sort().values)
    film.frame(1)
    codes = film_pixels(history.swaps[0])
    assert max(codes.shape) <= 384 and (codes == 3).sum() == 1


def test_the_view_begins_with_the_newest_swap_of_the_first_layer(view: FilmView) -> None:
    assert (view.layer, view.swap, view.controls["swap"].max) == ("first", 2, 2)
    assert view._caption.value == (
        "Swap 2 of 2, after step 20: 4 entries kept, 1 dropped and 1 grown; so far 6 have trained, 1.2 times the "
        "budget; random values at the new positions have rank 2."
    )
    assert view._canvas.alt.startswith("The mask of first after step 20: 4 entries kept")
    assert view._canvas.palette == list(FILM_COLOURS)


def test_an_earlier_swap_and_another_layer_can_be_chosen(view: FilmView) -> None:
    view.swap, view.layer = 1, "second"
    assert view._caption.value.startswith("Swap 1 of 2, after step 10")
    packed = np.frombuffer(view._canvas.bits, dtype=np.uint8)
    assert [int(byte) >> shift & 3 for byte in packed for shift in (6, 4, 2)] == [1, 1, 1, 1, 2, 3]
    assert view.picture() != FilmView(filmed(2)).picture()


def test_the_newest_swap_is_followed_and_an_older_one_is_kept(view: FilmView) -> None:
    short = dataclasses.replace(filmed(2), swaps=filmed(2).swaps[:2])
    view.show(short)
    assert view.swap == 1
    view.show(filmed(2))
    assert view.swap == 2
    view.swap = 1
    view.show(filmed(2))
    assert view.swap == 1


def test_a_mask_that_stays_has_no_film() -> None:
    view = FilmView(History(Settings()))
    assert view._caption.value == STAYS and view._canvas.layout.display == "none" and view.picture() is None
    view.close()


def test_the_lab_offers_the_rules_and_shows_the_film() -> None:
    lab = FineTuneLab(mask_moves="rigl")
    assert lab.settings.mask_moves == "rigl" and not lab.controls["swap_every"].disabled
    assert [value for _, value in lab.controls["mask_moves"].options] == ["never", "rigl", "spiel", "random", "learned"]
    lab._show(filmed(1))
    assert lab.film._caption.value.startswith("Swap 1 of 1")
    lab.mask_moves = "never"
    assert lab.controls["swap_every"].disabled
    lab.mask_moves, lab.method = "rigl", "lora"
    assert lab.controls["mask_moves"].disabled and lab.controls["swap_every"].disabled
    lab.close()


def test_the_dashed_line_of_random_values_steps_where_the_mask_has_moved() -> None:
    history = History(Settings(steps=50))
    history.controls = [RankPoint(step, "fc", rank, 1.0, 1.0, (1.0,), (4, 4)) for step, rank in ((0, 4), (20, 3))]
    rank = rank_curves(history)[-3]
    assert (list(rank.x), list(rank.y)) == ([0, 20, 50], [4, 3, 3])
