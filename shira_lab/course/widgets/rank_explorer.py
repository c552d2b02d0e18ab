"""The rank that each mask gives with the same budget: spectra beside LoRA's, theory beside what is measured."""

import re
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

import ipywidgets
import traitlets
from torch import nn

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.new_adapter import draw_positions
from shira_lab.analysis.rank import RankReport, lora_spectrum
from shira_lab.analysis.spectrum import Spectrum
from shira_lab.budget import Shape, check_budget, density, max_r, num_params
from shira_lab.course.figures import figure_png, spectrum_figure
from shira_lab.course.masks.heavy_tails import heavy_tailed_layer
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.check_group import CheckGroup, split_names
from shira_lab.course.widgets.controls import FloatSlider, Slider, Status, dropdown, in_words, number, plain, row
from shira_lab.course.widgets.pictures import SpectrumPlot
from shira_lab.course.widgets.ranks_table import LORA, ranks_table
from shira_lab.course.widgets.resting import Step, WhenResting
from shira_lab.errors import ConfigError
from shira_lab.masks import find_mask, mask_types
from shira_lab.masks.function import calibrated_by

SHAPES = ("192x192", "768x192", "192x768", "768x768", "3072x768", "768x3072")
#: Sum of m * n * min(m, n) over the masks up to which singular values are computed at once, in about 20 ms.
QUICK = 3e7
#: Sum of m * n over the masks up to which they are drawn and counted at once, in about 50 ms.
COUNTED_AT_ONCE = 5e5
MAX_COLUMN_SCALE = 1.5
SLIDER_DENSITY = 0.25  # where the r slider ends: what there is to see happens long before
Y_TITLE = "singular value, update scaled to norm 1"


class RankExplorer(App):
    """Compare the ranks of masks without a model: ``RankExplorer()``.

    The weight is a drawn one, with lognormal column scales
    (:func:`~shira_lab.course.masks.heavy_tails.heavy_tailed_layer`); updates have normally distributed values.

    Args:
        show: the controls to be seen, out of ``controls_offered``; None for all.
        state: initial values of the attributes below.

    Attributes:
        shape: "768x768" and the like, rows x columns.
        mask_types: names with commas.
        r: the budget of each mask, and the rank of the LoRA beside them.
        column_scale: how far the weight's columns differ in scale; only masks that rank by magnitude see it.
        random_seed: of the weight and of random positions.
        values_seed: of the updates' values.
    """

    controls_offered = ("shape", "mask_types", "r", "column_scale", "random_seed", "values_seed")

    shape = traitlets.Unicode(SHAPES[0]).tag(state=True)
    mask_types = traitlets.Unicode("random, struct, row_col").tag(state=True)
    r = traitlets.Int(4).tag(state=True)
    column_scale = traitlets.Float(0.5, min=0.0, max=MAX_COLUMN_SCALE).tag(state=True)
    random_seed = traitlets.Int(0, min=0).tag(state=True)
    values_seed = traitlets.Int(0, min=0).tag(state=True)

    def __init__(self, show: tuple[str, ...] | None = None, **state: Any) -> None:
        self._reports: dict[str, RankReport] = {}
        self._counted: dict[str, RankReport] | None = None
        self._resting = WhenResting()
        super().__init__(show, **state)
        self._build()
        self.on_change(self._fit_r, "shape")
        self.on_change(self._forget, "shape", "r", "column_scale", "random_seed", "values_seed")
        self.on_change(self._draw, *self.traits(state=True))
        self._draw()

    # ---- what the state says ----------------------------------------------------------------------------------------

    @property
    def size(self) -> Shape:
        """(m, n) of the weight."""
        return _size(self.shape)

    def reports(self) -> dict[str, RankReport]:
        """Each chosen mask with its numbers, by mask type.

        Raises:
            ShiraError: when a mask of the learner's own breaks a promise.
        """
        chosen = split_names(self.mask_types)
        for name in chosen:
            if name not in self._reports:
                config = ShiraConfig(r=self.r, mask_type=name, random_seed=self.random_seed)
                positions = draw_positions(name, self._layer, config, None)
                self._reports[name] = RankReport(positions, self.size, self.values_seed)
        return {name: self._reports[name] for name in chosen}

    @cached_property
    def _layer(self) -> nn.Linear:
        return heavy_tailed_layer(self.size, self.column_scale, self.random_seed)

    def spectra(self) -> dict[str, Spectrum]:
        """The spectrum of an update for each chosen mask, and LoRA's."""
        masks = {name: report.spectrum for name, report in self.reports().items()}
        return {**masks, LORA: lora_spectrum(self.r, self.size, self.values_seed)}

    # ---- what the state may be --------------------------------------------------------------------------------------

    @traitlets.validate("shape")
    def _legal_shape(self, proposal: Any) -> str:
        if max_r(_size(proposal["value"])) < 1:
            raise ConfigError(f"`shape={proposal['value']!r}` has no room for r(m + n) entries; each side needs 2.")
        return proposal["value"]

    @traitlets.validate("mask_types")
    def _known_mask_types(self, proposal: Any) -> str:
        known = _without_data()
        unknown = [name for name in split_names(proposal["value"]) if name not in known]
        if unknown:
            raise ConfigError(f"`mask_types` has {unknown[0]!r}; masks that need no data are {', '.join(known)}.")
        return ", ".join(dict.fromkeys(split_names(proposal["value"])))

    @traitlets.validate("r")
    def _legal_r(self, proposal: Any) -> int:
        check_budget(proposal["value"], self.size, f"a weight of {self.shape}")
        return proposal["value"]

    # ---- the view ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        controls: dict[str, ipywidgets.Widget] = {
            "shape": dropdown("shape", plain(tuple(dict.fromkeys((*SHAPES, self.shape)))), self.shape),
            "mask_types": CheckGroup("mask_types", _without_data(), self.mask_types),
            "r": Slider(description="r", value=self.r, max=self._last_r()),
            "column_scale": FloatSlider(
                description="column_scale", value=self.column_scale, max=MAX_COLUMN_SCALE, step=0.05
            ),
            "random_seed": number("random_seed", self.random_seed, 0, 9999),
            "values_seed": number("values_seed", self.values_seed, 0, 9999),
        }
        for name, control in controls.items():
            self.link(name, control)
        self.after_each_cell(lambda: controls["mask_types"].offer(*_without_data()))
        self._plot, self._table, self.status = SpectrumPlot(y_title=Y_TITLE), ipywidgets.HTML(), Status()
        pictures = row(self._plot, self._table, gap="8px 24px")
        self.view.children = (row(*(self.controls[name] for name in self.shown)), pictures, self.status)

    def _fit_r(self, _: Any) -> None:
        self.r = min(self.r, max_r(self.size))
        self.controls["r"].max = self._last_r()

    def _last_r(self) -> int:
        return max(self.r, int(SLIDER_DENSITY * max_r(self.size)))

    def _forget(self, _: Any) -> None:
        self._reports.clear()
        self.__dict__.pop("_layer", None)

    def _draw(self, _: Any = None) -> None:
        """The budget at once; masks and their singular values, where they take long, when the slider rests."""
        (m, n), k = self.size, num_params(self.r, self.size)
        self.status.say(
            f"Each update has r(m + n) = {self.r} * ({m} + {n}) = {k:,} trainable parameters, "
            f"{density(self.r, self.size):.2%} of the weight. Full rank is {min(m, n)}."
        )
        entries, steps = m * n * len(split_names(self.mask_types)), self._steps()
        if entries <= COUNTED_AT_ONCE:
            next(steps)()
        self._resting.run(steps, at_once=entries * min(m, n) <= QUICK)

    def _steps(self) -> Iterator[Step]:
        """Draw the masks and count, then find the singular values, mask by mask."""
        yield self._count
        if self._counted is not None:
            yield from (partial(getattr, report, "spectrum") for report in self._counted.values())
            yield self._draw_spectra

    def _count(self) -> None:
        try:
            self._counted = self.reports()
        except Exception as error:  # a learner's own mask function may raise anything
            self._counted = None
            self._plot.show({})
            self._table.value = ""
            self.status.say(in_words(error), error=True)
        else:
            self._table.value = ranks_table(self.size, self.r, self._counted, {})

    def _draw_spectra(self) -> None:
        spectra = self.spectra()
        self._plot.show({name: one.normalised for name, one in spectra.items()})
        self._table.value = ranks_table(self.size, self.r, self.reports(), spectra)

    def _settle(self) -> None:
        self._resting.finish()

    def close(self) -> None:
        self._resting.cancel()
        super().close()

    def picture(self) -> bytes | None:
        try:
            spectra = {name: one.normalised for name, one in self.spectra().items()}
        except Exception:  # as in the live view, where the status line says what it was
            return None
        return figure_png(spectrum_figure(spectra, f"{Y_TITLE[0].upper()}{Y_TITLE[1:]}"))


def _size(shape: str) -> Shape:
    """ "768x192" as (768, 192).

    Raises:
        ConfigError: when it is no shape.
    """
    sides = re.fullmatch(r"(\d+)x(\d+)", shape)
    if sides is None:
        raise ConfigError(f"`shape={shape!r}` should be rows x columns, as in '768x192'.")
    return int(sides[1]), int(sides[2])


def _without_data() -> tuple[str, ...]:
    """The mask types that need no data."""
    return tuple(name for name in mask_types() if calibrated_by(find_mask(name)) is None)
