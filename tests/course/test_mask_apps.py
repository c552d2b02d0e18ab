"""The apps on masks without a browser: margins and density, two masks over each other, and a mask painted by hand."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from shira_lab import ShiraConfig, ShiraError, get_peft_model, mask_types
from shira_lab.budget import max_r
from shira_lab.course.widgets import MaskExplorer, MaskOverlap, MaskPainter
from shira_lab.course.widgets.mask_overlap import BESIDE, OVER
from shira_lab.course.widgets.mask_panel import density_bar
from shira_lab.course.widgets.paint_canvas import SIZE, drawing_text, drawn_cells
from shira_lab.errors import ConfigError, MaskError
from shira_lab.masks import mask_positions
from shira_lab.masks.positions import from_mask


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 64), nn.Linear(64, 8)
    )


def said(app: MaskExplorer | MaskOverlap | MaskPainter) -> str:
    return re.sub(r"<[^>]+>", " ", app.status.value).strip()


# ---- the explorer's margins -----------------------------------------------------------------------------------------


def test_the_bars_are_the_counts_and_empty_rows_are_marked(model: nn.Module) -> None:
    app = MaskExplorer(model, r=1)
    canvas = app._panel.mask
    assert np.frombuffer(canvas.rows, np.uint32).tolist() == app.profile.rows.tolist()
    assert np.frombuffer(canvas.columns, np.uint32).tolist() == app.profile.columns.tolist()
    assert sum(canvas.empty_rows) == app.profile.empty_rows > 0
    assert sum(canvas.empty_columns) == app.profile.empty_columns > 0
    assert canvas.alt.endswith(f" {app.profile.empty_rows} rows and {app.profile.empty_columns} columns have none.")
    assert f"each row, at most {app.profile.rows.max()}, and" in canvas.caption


def test_on_a_large_weight_a_bar_is_the_longest_of_its_rows_and_any_empty_row_is_marked() -> None:
    app = MaskExplorer(nn.Sequential(nn.Linear(600, 700)), r=1)
    counts = app.profile.rows.reshape(-1, 2)
    assert np.frombuffer(app._panel.mask.rows, np.uint32).tolist() == counts.max(axis=1).tolist()
    assert list(app._panel.mask.empty_rows) == (counts.min(axis=1) == 0).astype(int).tolist()


def test_the_density_bar_turns_orange_beyond_the_advice() -> None:
    assert 'aria-label="density 8.33%, advice: at most 10%"' in density_bar(0.08333)
    assert 'width="166.7" height="12" fill="#0072B2"' in density_bar(0.08333)
    assert 'width="400.0" height="12" fill="#D55E00"' in density_bar(0.5)


def test_the_density_follows_r(model: nn.Module) -> None:
    app = MaskExplorer(model, r=1)
    before = app._panel.density.value
    app.r = 2
    assert app._panel.density.value != before


def test_beside_a_mask_that_cannot_be_drawn_the_one_before_stays_faded_with_the_reason(model: nn.Module) -> None:
    app = MaskExplorer(model, r=1)
    mask, before = app._panel.mask, app._panel.mask.bits
    app.mask_type = "gradient"
    assert "ranks positions by a gradient" in said(app) and said(app) in app._panel.density.value
    assert mask.bits == before and mask.faded and mask.alt.startswith("As it was before: Mask of a 64 x 48 weight")
    assert "opacity" in mask.still() and app._panel.facts.value == "" and app._panel.spectrum.curves == []
    app.mask_type = "struct"
    assert mask.bits != before and not mask.faded and "before" not in mask.alt + mask.caption


# ---- two masks ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(model: nn.Module) -> Iterator[MaskOverlap]:
    app = MaskOverlap(model)
    yield app
    app.close()


CHANGES = [
    ("layer_1", "4"), ("mask_type_1", "struct"), ("r_1", 5), ("random_seed_1", 7),
    ("layer_2", "4"), ("mask_type_2", "block"), ("r_2", 6), ("random_seed_2", 8), ("seed_per_layer", True),
]  # fmt: skip


@pytest.mark.parametrize(("control", "value"), CHANGES)
def test_every_control_redraws_the_overlap(pair: MaskOverlap, control: str, value: object) -> None:
    pair.seed_per_layer = control.startswith("layer")  # else a random mask is the same on both layers
    before = pair._over.bits, pair.picture()
    pair.controls[control].value = value
    assert getattr(pair, control) == value
    assert pair._over.bits != before[0] and pair.picture() != before[1]


def test_the_masks_of_r_1_lie_inside_those_of_r_2(pair: MaskOverlap) -> None:
    assert (pair.overlap.both, pair.overlap.share) == (112, 1.0)
    assert said(pair) == (
        "112 entries are in both masks, 100.00% of the smaller one; independent random masks would share about 8, give "
        "or take 3. Mask 1 lies inside mask 2."
    )
    pair.r_1, pair.r_2 = 2, 1
    assert said(pair).endswith("Mask 2 lies inside mask 1.")


def test_one_seed_gives_two_layers_one_mask_and_a_seed_per_layer_mends_it(pair: MaskOverlap) -> None:
    pair.layer_2, pair.r_1, pair.r_2 = "4", 3, 3
    assert pair.overlap.share == 1 and said(pair).endswith("The two masks are the same.")
    pair.controls["seed_per_layer"].value = True
    assert abs(pair.overlap.both - pair.overlap.expected) < 5 * pair.overlap.deviation


def test_the_colours_of_the_overlap_are_counted(pair: MaskOverlap) -> None:
    pair.random_seed_2 = 5
    found = pair.overlap
    facts = re.sub(r"<[^>]+>", "", pair._facts.value)
    assert facts == f"only mask 1: {112 - found.both}only mask 2: {224 - found.both}both: {found.both}"
    codes = np.frombuffer(pair._over.bits, np.uint8)
    pixels = np.stack([codes >> shift & 3 for shift in (6, 4, 2, 0)])
    assert [int((pixels == code).sum()) for code in (1, 2, 3)] == [112 - found.both, 224 - found.both, found.both]


def test_masks_are_shown_over_each_other_or_side_by_side(pair: MaskOverlap) -> None:
    over = pair.picture()
    assert pair._pictures.children[:-1] == (pair._over,)
    pair.controls["view_as"].value = BESIDE
    assert pair._pictures.children[:-1] == pair._beside
    assert sum(byte.bit_count() for byte in pair._beside[0].bits) == 112
    assert sum(byte.bit_count() for byte in pair._beside[1].bits) == 224
    assert pair.picture() != over and pair.view_as == BESIDE != OVER


def test_masks_of_two_shapes_stand_side_by_side_and_the_status_says_why(pair: MaskOverlap) -> None:
    pair.layer_2 = "2"
    why = (
        "Mask 1 is for a weight of 64 x 48, mask 2 for one of 48 x 64: they share positions only where the shapes are "
        "equal. Choose two layers of one shape."
    )
    assert said(pair) == why and pair._over not in pair._pictures.children and pair.picture() is not None
    with pytest.raises(ConfigError, match=re.escape(why)):
        _ = pair.overlap
    pair.layer_1 = "2"
    assert pair._over in pair._pictures.children and "entries are in both masks" in said(pair)


def test_each_slider_ends_at_the_largest_r_of_its_layer(pair: MaskOverlap) -> None:
    pair.r_2 = max_r((64, 48))
    pair.layer_2 = "5"
    assert pair.controls["r_1"].max == max_r((64, 48))
    assert pair.r_2 == pair.controls["r_2"].max == max_r((8, 64))


def test_what_cannot_be_is_refused_with_the_name_of_the_field(pair: MaskOverlap) -> None:
    with pytest.raises(ConfigError, match="`layer_2='9'` is no linear layer; there are 0, 2, 4, 5"):
        pair.layer_2 = "9"
    with pytest.raises(ConfigError, match="`mask_type_1='dots'` is unknown"):
        pair.mask_type_1 = "dots"
    with pytest.raises(ConfigError, match=r"The largest r for this shape is 27\."):
        pair.r_2 = 28


def test_a_mask_that_cannot_be_drawn_is_a_sentence(pair: MaskOverlap) -> None:
    pair.mask_type_2 = "gradient"
    assert "ranks positions by a gradient" in said(pair) and pair.picture() is None


def test_two_masks_are_restored_from_text(pair: MaskOverlap, model: nn.Module) -> None:
    pair.r_1, pair.layer_2, pair.seed_per_layer, pair.view_as = 4, "4", True, BESIDE
    again = MaskOverlap.from_text(pair.state_text(), model)
    assert again.state() == pair.state() and again.overlap == pair.overlap
    assert repr(again) == "MaskOverlap(random r=4 seed 0 on 0; random r=2 seed 0 on 4)"


def test_controls_of_one_mask_can_be_hidden(model: nn.Module) -> None:
    app = MaskOverlap(model, show=("r_1", "r_2"))
    lines = [line.children for line in app.view.children[:2]]
    assert lines == [(app.controls["r_1"],), (app.controls["r_2"],)]


# ---- the painter ----------------------------------------------------------------------------------------------------


@pytest.fixture
def painter(model: nn.Module) -> Iterator[MaskPainter]:
    app = MaskPainter(model, r=3)
    yield app
    app.close()


DIAGONAL = torch.eye(SIZE)


@pytest.mark.parametrize(("control", "value"), [("r", 5), ("layer", "2"), ("random_seed", 7)])
def test_every_control_redraws_the_painted_mask(painter: MaskPainter, control: str, value: object) -> None:
    painter.paint(DIAGONAL)
    before = painter._panel.mask.bits, painter.picture()
    painter.controls[control].value = value
    assert getattr(painter, control) == value
    assert painter._panel.mask.bits != before[0] and painter.picture() != before[1]


def test_a_stroke_in_the_browser_redraws_the_mask(painter: MaskPainter) -> None:
    before = painter._panel.mask.bits
    painter.controls["drawing"].value = drawing_text(DIAGONAL)
    assert painter._panel.mask.bits != before and torch.equal(painter.cells, DIAGONAL.bool())


def test_clear_takes_the_paint_away(painter: MaskPainter) -> None:
    blank = painter._panel.mask.bits
    painter.paint(DIAGONAL)
    assert painter.controls["drawing"].value
    easel = painter.view.children[-1].children[0]
    easel.children[1].click()
    assert not painter.cells.any() and painter.controls["drawing"].value == "" and painter._panel.mask.bits == blank


def test_the_status_says_what_became_of_the_paint(painter: MaskPainter) -> None:
    budget = "r(m + n) = 3 * (64 + 48) = 336 of 3,072 entries train: 10.94%, above the usual 10%. "
    assert said(painter) == budget + "Nothing is painted yet, so they lie at random."
    painter.paint(DIAGONAL)
    assert said(painter) == budget + (
        "32 of 1,024 cells are painted. 96 entries lie under the paint: 240 around it are added, the nearest first."
    )
    painter.paint(torch.ones(4, 4))
    assert said(painter) == budget + (
        "1,024 of 1,024 cells are painted. 3,072 entries lie under the paint: 336 of them are taken at random."
    )
    painter.paint(torch.arange(SIZE * SIZE).view(SIZE, SIZE) < 112)
    assert said(painter).endswith("336 entries lie under the paint: exactly the budget.")


def test_a_picture_of_any_size_can_be_painted(painter: MaskPainter) -> None:
    painter.paint(torch.tensor([[1.0, 0.0], [0.0, -2.0]]))
    half = torch.ones(SIZE // 2, SIZE // 2)
    assert torch.equal(painter.cells, torch.block_diag(half, half).bool())


def test_the_drawing_is_a_mask_type_on_every_layer(painter: MaskPainter, model: nn.Module) -> None:
    painter.paint(DIAGONAL)
    assert "drawn" in mask_types()
    expected = {path: mask_positions(painter.mask_fn, model.get_submodule(path), 2) for path in ("0", "2", "4", "5")}
    adapted = get_peft_model(model, ShiraConfig(r=2, mask_type="drawn", target_modules="all-linear"))
    for path, layer in adapted.base_model.adapter_layers():
        mask = torch.zeros(layer.weight.shape)
        mask[layer.shira_indices["default"].long().unbind()] = 1
        assert torch.equal(from_mask(mask), expected[path])


def test_a_mask_function_keeps_the_drawing_that_it_was_made_of(painter: MaskPainter, model: nn.Module) -> None:
    painter.paint(DIAGONAL)
    kept, shown = painter.mask_fn, painter.positions
    painter.clear()
    assert torch.equal(mask_positions(kept, model[0], 3), shown) and not torch.equal(painter.positions, shown)


def test_painters_of_two_names_can_be_compared(painter: MaskPainter, model: nn.Module) -> None:
    painter.paint(DIAGONAL)
    other = MaskPainter(model, name="other")
    other.paint(DIAGONAL.flip(0))
    assert MaskOverlap(model, mask_type_1="drawn", mask_type_2="other", r_1=1, r_2=1).overlap.share < 0.2
    with pytest.raises(MaskError, match="The mask type 'random' is built in"):
        MaskPainter(model, name="random")


def test_the_exported_function_gives_the_mask_that_is_seen(painter: MaskPainter, model: nn.Module) -> None:
    painter.paint(DIAGONAL)
    painter.random_seed = 4
    names: dict[str, object] = {}
    exec(painter.source(), names)
    assert torch.equal(from_mask(names["drawn"](model[0], 3)), painter.positions)


def test_a_drawing_survives_as_text(painter: MaskPainter, model: nn.Module) -> None:
    painter.paint(DIAGONAL)
    again = MaskPainter.from_text(painter.state_text(), model)
    assert again.state() == painter.state() and torch.equal(again.positions, painter.positions)
    assert len(painter.state_text()) < 250
    assert repr(again) == "MaskPainter(layer=0, r=3, 32 of 1,024 cells painted, 336 of 3,072 = 10.94%)"


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_cells_and_text_tell_the_same(share: float) -> None:
    cells = torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(0)) < share
    assert torch.equal(drawn_cells(drawing_text(cells)), cells)
    assert len(drawing_text(cells)) <= 172


@pytest.mark.parametrize("text", ["?", "AAA", "A" * 176])
def test_a_text_that_is_no_drawing_is_refused(painter: MaskPainter, text: str) -> None:
    with pytest.raises(ShiraError, match=re.escape(f"`drawing={text!r}` is no drawing of 32 x 32 cells")):
        painter.drawing = text
    assert painter.drawing == ""
