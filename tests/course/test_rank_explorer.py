"""The rank explorer without a browser: each control is driven by its value, and curves and table must follow."""

import asyncio
import re
import struct
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from shira_lab import ShiraError, register_mask
from shira_lab.analysis.rank import expected_empty_rows, expected_rank
from shira_lab.budget import max_r, num_params
from shira_lab.course.widgets import RankExplorer
from shira_lab.course.widgets.ranks_table import LORA
from shira_lab.errors import ConfigError

SMALL = "48x64"


@pytest.fixture
def explorer() -> Iterator[RankExplorer]:
    app = RankExplorer(shape=SMALL, r=2, mask_types="random, magnitude, row_col")
    yield app
    app.close()


def table_of(app: RankExplorer) -> dict[str, list[str]]:
    """The rows of the table by their names."""
    rows = re.findall(r"<tr>(.*?)</tr>", app._table.value)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return {re.sub(r"<[^>]+>", "", first): rest for first, *rest in cells}


def curves_of(app: RankExplorer) -> dict[str, tuple[float, ...]]:
    """What the browser draws, by name."""
    values = struct.unpack(f"{len(app._plot.values) // 4}f", app._plot.values)
    ends = [sum(curve["length"] for curve in app._plot.curves[:number]) for number in range(len(app._plot.curves) + 1)]
    return {
        curve["name"]: values[start:end] for curve, start, end in zip(app._plot.curves, ends, ends[1:], strict=False)
    }


CHANGES = [
    ("shape", "192x192"), ("r", 5), ("column_scale", 1.0), ("random_seed", 3), ("values_seed", 4),
    ("mask_types", "random, struct"),
]  # fmt: skip


@pytest.mark.parametrize(("control", "value"), CHANGES)
def test_every_control_redraws_curves_and_table(explorer: RankExplorer, control: str, value: object) -> None:
    before = explorer._plot.values, explorer._table.value
    explorer.controls[control].value = value
    assert getattr(explorer, control) == value
    assert explorer._plot.values != before[0] and explorer._table.value != before[1]


def test_a_box_adds_a_mask_and_takes_it_away(explorer: RankExplorer) -> None:
    boxes = explorer.controls["mask_types"].boxes
    assert [name for name, box in boxes.items() if box.value] == ["random", "magnitude", "row_col"]
    boxes["struct"].value = True
    assert explorer.mask_types == "random, magnitude, struct, row_col"
    boxes["magnitude"].value = False
    assert explorer.mask_types == "random, struct, row_col"
    assert list(curves_of(explorer)) == ["random", "struct", "row_col", LORA]


def test_setting_the_state_ticks_the_boxes(explorer: RankExplorer) -> None:
    explorer.mask_types = "block,struct"
    boxes = explorer.controls["mask_types"].boxes
    assert explorer.mask_types == "block, struct"
    assert {name for name, box in boxes.items() if box.value} == {"block", "struct"}


def test_without_a_mask_lora_stands_alone(explorer: RankExplorer) -> None:
    for box in explorer.controls["mask_types"].boxes.values():
        box.value = False
    assert list(curves_of(explorer)) == [LORA] and explorer.mask_types == ""


def test_curves_end_at_their_ranks_and_have_norm_one(explorer: RankExplorer) -> None:
    curves = curves_of(explorer)
    for name, one in explorer.spectra().items():
        assert len(curves[name]) == one.rank
        assert sum(value**2 for value in curves[name]) == pytest.approx(1, rel=1e-4)
    assert len(curves[LORA]) == 2


def test_the_table_has_theory_beside_what_is_counted(explorer: RankExplorer) -> None:
    rows, k = table_of(explorer), num_params(2, (48, 64))
    expected = [f"{expected_empty_rows((48, 64), k):.1f}", f"{expected_rank((48, 64), k):.1f}"]
    assert rows["random, expected"][:3] == [f"{k:,}", *expected]
    for name, report in explorer.reports().items():
        counted = [f"{report.entries:,}", str(report.empty_rows), str(report.structural_rank)]
        assert rows[name][:4] == [*counted, str(report.spectrum.rank)]
        assert rows[name][2] == rows[name][3]  # random values attain what the positions allow
    assert rows[LORA][1:4] == ["0", "at most 2", "2"]


def test_wide_columns_are_seen_by_magnitude_alone(explorer: RankExplorer) -> None:
    explorer.column_scale = 0.0
    flat = {name: report.structural_rank for name, report in explorer.reports().items()}
    explorer.column_scale = 1.5
    tailed = {name: report.structural_rank for name, report in explorer.reports().items()}
    assert tailed["magnitude"] < flat["magnitude"]
    assert (tailed["random"], tailed["row_col"]) == (flat["random"], flat["row_col"])


def test_the_slider_ends_at_a_quarter_of_the_weight_and_r_fits_the_shape(explorer: RankExplorer) -> None:
    assert explorer.controls["r"].max == max_r((48, 64)) // 4
    explorer.r = max_r((48, 64))
    explorer.shape = "8x8"
    assert explorer.r == max_r((8, 8)) == explorer.controls["r"].max
    budget = "r(m + n) = 4 * (8 + 8) = 64 trainable parameters, 100.00% of the weight. Full rank is 8."
    assert budget in explorer.status.value


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("r", 100, "The largest r for this shape is 27."),
        ("r", 0, "`r` should be a positive integer"),
        ("shape", "768", "`shape='768'` should be rows x columns, as in '768x192'."),
        ("shape", "1x9", "`shape='1x9'` has no room for r(m + n) entries; each side needs 2."),
        ("mask_types", "random, stripes", "`mask_types` has 'stripes'; masks that need no data are random, magnitude,"),
        ("mask_types", "gradient", "`mask_types` has 'gradient'; masks that need no data are random,"),
    ],
)
def test_a_state_that_cannot_be_is_refused_with_a_reason(
    explorer: RankExplorer, trait: str, value: object, message: str
) -> None:
    before = explorer.state()
    with pytest.raises(ConfigError, match=re.escape(message)):
        setattr(explorer, trait, value)
    assert explorer.state() == before


def test_the_state_survives_as_text(explorer: RankExplorer) -> None:
    explorer.column_scale, explorer.r = 0.25, 3
    again = RankExplorer.from_text(explorer.state_text())
    assert again.state() == explorer.state() and again._table.value == explorer._table.value


def test_an_app_reads_as_one_line_and_pictures_have_names(explorer: RankExplorer) -> None:
    text = explorer._repr_mimebundle_()["text/plain"]
    assert text == (
        "RankExplorer(column_scale=0.5, mask_types=random, magnitude, row_col, r=2, random_seed=0, shape=48x64, "
        "values_seed=0)"
    )
    assert explorer._plot.alt.startswith("Singular values: random rank 4")
    assert "LoRA rank 2" in explorer._plot.alt and explorer._plot.alt.endswith("at most 48 possible.")


def test_controls_can_be_hidden() -> None:
    app = RankExplorer(show=("r", "column_scale"), shape=SMALL)
    assert app.view.children[0].children == (app.controls["r"], app.controls["column_scale"])
    with pytest.raises(ConfigError, match="RankExplorer has no control 'layer'; it has shape,"):
        RankExplorer(show=("layer",))


@pytest.mark.usefixtures("fresh_registry")
def test_a_mask_of_the_learners_own_gets_a_box_when_it_is_chosen(explorer: RankExplorer) -> None:
    @register_mask("top")
    def top(base_layer: nn.Module, r: int) -> torch.Tensor:
        mask = torch.zeros_like(base_layer.weight)
        mask.view(-1)[: r * sum(mask.shape)] = 1
        return mask

    explorer.mask_types = "random, top"
    assert explorer.controls["mask_types"].boxes["top"].value
    assert table_of(explorer)["top"][:3] == ["224", "44", "4"]


@pytest.mark.usefixtures("fresh_registry")
def test_a_broken_mask_function_is_a_sentence_in_the_status_line(explorer: RankExplorer) -> None:
    @register_mask("broken")
    def broken(base_layer: nn.Module, r: int) -> torch.Tensor:
        return torch.ones_like(base_layer.weight)

    explorer.mask_types = "broken"
    assert "has 3,072 ones; r(m + n) = 224 are expected: leave out 2,848." in explorer.status.value
    assert explorer._plot.curves == [] and explorer.picture() is None
    with pytest.raises(ShiraError):
        explorer.reports()
    explorer.mask_types = "random"
    assert list(curves_of(explorer)) == ["random", LORA]


def test_a_large_weight_waits_for_the_slider_to_rest_and_answers_the_last_stop_only() -> None:
    async def drag() -> tuple[RankExplorer, list[str]]:
        app = RankExplorer(shape="400x400", r=2, mask_types="random")
        at_once = table_of(app)["random"]
        app._table.observe(lambda change: pictures.append((table_of(app)["random"], app.status.value)), "value")
        app.r = 3
        app.r = 4
        while LORA not in curves_of(app):
            await asyncio.sleep(0.01)
        return app, at_once

    pictures: list[tuple[list[str], str]] = []
    app, at_once = asyncio.run(drag())
    (first, said), (exact, _) = pictures[-2:]
    assert "Ranks are exact; curves have four digits, and settle." in said and "settle" not in app.status.value
    assert first[:4] == exact[:4] and [float(cell) for cell in first[4:]] == pytest.approx(
        [float(cell) for cell in exact[4:]], rel=1e-3
    )
    assert at_once[0] == "1,600" and at_once[3:] == ["...", "...", "..."]
    assert table_of(app)["random"][0] == "3,200" and "..." not in app._table.value
    assert len(curves_of(app)[LORA]) == 4
    app.close()


def test_nothing_listens_after_close(explorer: RankExplorer) -> None:
    explorer.close()
    before = explorer._plot.values
    explorer.controls["r"].value = 1
    assert explorer.r == 2 and explorer._plot.values == before
