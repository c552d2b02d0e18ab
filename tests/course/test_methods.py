"""One method has one colour, in every figure, table and app."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import shira_lab.course
from shira_lab.analysis.spectrum import spectrum
from shira_lab.course.comparison.log import shipped
from shira_lab.course.figures import (
    Figure,
    agreement_figure,
    column_entries_figure,
    column_scale_figure,
    cost_growth_figure,
    fused_over_scale_figure,
    rank_against_excess_figure,
    spectrum_figure,
    tuning_figure,
)
from shira_lab.course.figures.methods import LOOKS, looks, method_of
from shira_lab.course.figures.theme import BLACK, BLUE, PALETTE
from shira_lab.course.fusion.log import shipped as fused
from shira_lab.course.speed.growth import shipped as grown
from shira_lab.course.widgets.comparison_table import ComparisonTable
from shira_lab.course.widgets.pictures import SpectrumPlot
from shira_lab.course.widgets.rank_explorer import RankExplorer
from shira_lab.masks import mask_types

COURSE = Path(shira_lab.course.__file__).parent
MASKS = ("struct", "random", "magnitude", "LoRA")
ONE = spectrum(torch.eye(3))

FIGURES = {
    "spectrum": lambda: spectrum_figure(dict.fromkeys(MASKS, ONE)),
    "agreement": lambda: agreement_figure({name: {1: 0.5} for name in ("snip", "gradient")}, 0.1, "agreement"),
    "columns": lambda: column_entries_figure([1.0], {name: [2] for name in MASKS}, "columns"),
    "scales": lambda: column_scale_figure((4, 4), 1, {name: {0.0: 4} for name in MASKS}),
    "speed": lambda: cost_growth_figure(grown()),
    "tuning": lambda: tuning_figure(shipped(), 8),
    "ranks": lambda: rank_against_excess_figure(shipped()),
    "fusing": lambda: fused_over_scale_figure(fused()),
}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_a_curve_has_the_colour_of_its_method(figure: Callable[[], Figure]) -> None:
    curves = [curve for curve in figure().data if curve.name and method_of(curve.name.split(":")[0]) in LOOKS]
    assert curves
    for curve in curves:
        assert LOOKS[method_of(curve.name.split(":")[0])].colour in (curve.line.color, curve.marker.color), curve.name


def test_apps_and_their_tables_agree_with_the_figures() -> None:
    plot, ranks, compared = SpectrumPlot(), RankExplorer(mask_types="struct, random"), ComparisonTable()
    plot.show(dict.fromkeys(MASKS, ONE))
    assert {curve["name"]: curve["colour"] for curve in plot.curves} == {name: LOOKS[name].colour for name in MASKS}
    for app, names in ((ranks, ("struct", "random", "LoRA")), (compared, ("SHiRA struct", "SHiRA random", "LoRA"))):
        rows = re.findall(r"<tr><th scope=\"row\".*?</tr>", app._table.value)
        for name in names:
            (row,) = (row for row in rows if f">{name}</th>" in row)
            assert LOOKS[method_of(name)].colour in row
        app.close()


def test_every_method_has_a_colour_of_its_own_and_a_random_mask_is_shira() -> None:
    assert set(mask_types()) <= set(LOOKS)
    methods = [name for name in LOOKS if name not in ("SHiRA", "full", "random values")]
    assert (
        len({LOOKS[name].colour for name in methods}) == len({LOOKS[name].symbol for name in methods}) == len(methods)
    )
    assert LOOKS["SHiRA"] == LOOKS["random"]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("SHiRA random, other seed", "random"),
        ("your LoRA", "LoRA"),
        ("your SHiRA", "SHiRA"),
        ("random values, SHiRA's positions", "random values"),
        ("random values at the same positions", "random values"),
    ],
)
def test_a_name_says_its_method(name: str, method: str) -> None:
    assert method_of(name) == method and looks([name])[name] == LOOKS[method]


def test_a_name_that_is_no_method_takes_a_colour_that_no_method_there_has() -> None:
    found = looks(("mine", "random", "LoRA", "yours"))
    assert [look.colour for look in found.values()] == [PALETTE[1], BLUE, BLACK, PALETTE[2]]
    every = looks((*LOOKS, "mine", "yours"))
    assert every["mine"].colour and every["yours"].colour


def test_nobody_else_gives_out_colours_in_turn() -> None:
    given = [path.name for path in COURSE.rglob("*.py") if "PALETTE" in path.read_text()]
    assert sorted(given) == ["methods.py", "theme.py"]
