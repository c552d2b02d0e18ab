"""Two masks laid over each other or set side by side: what they share, and what chance alone would give."""

from collections.abc import Iterable
from functools import cached_property
from html import escape
from typing import Any

import ipywidgets
import traitlets
from torch import Tensor, nn

from shira_lab.adapters.config import ShiraConfig
from shira_lab.analysis.overlap import Overlap, overlap
from shira_lab.budget import check_budget, max_r
from shira_lab.course.figures.overlap import COLOURS, FIRST, SECOND, overlap_pixels, overlap_png, two_masks_png
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import MAX_SEED, Slider, Status, dropdown, in_words, number, plain, row
from shira_lab.course.widgets.model_masks import ModelMasks, check_mask_type
from shira_lab.course.widgets.pictures import MaskCanvas
from shira_lab.errors import ConfigError
from shira_lab.masks import mask_types

OVER, BESIDE = "over each other", "side by side"
CAPTION = "Blue: only mask 1. Orange: only mask 2. Black: both."


class MaskOverlap(App):
    """Compare two masks: ``MaskOverlap(model, mask_type_2="magnitude")``.

    Args:
        model: any model with linear layers, with or without adapters.
        show: the controls to be seen, out of ``controls_offered``; None for all.
        calibration: batches for the masks that rank positions by data.
        state: initial values of the traits below: those of each mask, ``seed_per_layer`` of both, and the ``view``,
            "over each other" or "side by side".
    """

    controls_offered = (
        "layer_1", "mask_type_1", "r_1", "random_seed_1", "layer_2", "mask_type_2", "r_2", "random_seed_2",
        "seed_per_layer", "view_as",
    )  # fmt: skip

    layer_1 = traitlets.Unicode().tag(state=True)
    layer_2 = traitlets.Unicode().tag(state=True)
    mask_type_1 = traitlets.Unicode("random").tag(state=True)
    mask_type_2 = traitlets.Unicode("random").tag(state=True)
    r_1 = traitlets.Int(1).tag(state=True)
    r_2 = traitlets.Int(2).tag(state=True)
    random_seed_1 = traitlets.Int(0, min=0).tag(state=True)
    random_seed_2 = traitlets.Int(0, min=0).tag(state=True)
    seed_per_layer = traitlets.Bool(False).tag(state=True)
    view_as = traitlets.Enum((OVER, BESIDE), OVER).tag(state=True)

    def __init__(
        self,
        model: nn.Module,
        show: tuple[str, ...] | None = None,
        calibration: Iterable[Any] | None = None,
        **state: Any,
    ) -> None:
        self._masks = ModelMasks(model, calibration)
        first = next(iter(self._masks.layers))
        super().__init__(show, **{"layer_1": first, "layer_2": state.get("layer_1", first), **state})
        self._build()
        self.on_change(self._fit_r, "layer_1", "layer_2")
        self.on_change(lambda _: self._draw(), *self.traits(state=True))
        self._draw()

    # ---- what the state says ----------------------------------------------------------------------------------------

    @property
    def positions(self) -> tuple[Tensor, Tensor]:
        """Sorted flat positions of the first and of the second mask, (k1,) and (k2,)."""
        return self._positions(1), self._positions(2)

    @property
    def overlap(self) -> Overlap:
        """What the masks share.

        Raises:
            ConfigError: when the layers' shapes differ.
        """
        return self._overlap(*self.positions)

    def _positions(self, which: int) -> Tensor:
        values = {name: getattr(self, f"{name}_{which}") for name in ("r", "mask_type", "random_seed")}
        layer = getattr(self, f"layer_{which}")
        return self._masks.positions(layer, ShiraConfig(**values, seed_per_layer=self.seed_per_layer))

    def _overlap(self, first: Tensor, second: Tensor) -> Overlap:
        (m, n), (a, b) = shapes = self._masks.shape(self.layer_1), self._masks.shape(self.layer_2)
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f"Mask 1 is for a weight of {m} x {n}, mask 2 for one of {a} x {b}: they share positions only where "
                "the shapes are equal. Choose two layers of one shape."
            )
        return overlap(first, second, shapes[0])

    @traitlets.validate("layer_1", "layer_2")
    def _known_layer(self, proposal: Any) -> str:
        return self._masks.check_layer(proposal["value"], proposal["trait"].name)

    @traitlets.validate("mask_type_1", "mask_type_2")
    def _known_mask_type(self, proposal: Any) -> str:
        return check_mask_type(proposal["value"], proposal["trait"].name)

    @traitlets.validate("r_1", "r_2")
    def _legal_r(self, proposal: Any) -> int:
        layer = getattr(self, f"layer_{proposal['trait'].name[-1]}")
        check_budget(proposal["value"], self._masks.shape(layer), f"layer '{layer}'")
        return proposal["value"]

    # ---- the view ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        for which in "12":
            layer = getattr(self, f"layer_{which}")
            self.link(f"layer_{which}", dropdown(f"layer_{which}", self._masks.menu, layer))
            mask_type = getattr(self, f"mask_type_{which}")
            self.link(f"mask_type_{which}", dropdown(f"mask_type_{which}", plain(mask_types()), mask_type))
            largest, seed = max_r(self._masks.shape(layer)), getattr(self, f"random_seed_{which}")
            slider = Slider(description=f"r_{which}", value=getattr(self, f"r_{which}"), max=largest)
            self.link(f"r_{which}", slider)
            self.link(f"random_seed_{which}", number(f"random_seed_{which}", seed, 0, MAX_SEED))
        tick = ipywidgets.Checkbox(description="seed_per_layer", indent=False, layout={"width": "max-content"})
        self.link("seed_per_layer", tick)
        self.link("view_as", dropdown("view", plain((OVER, BESIDE)), self.view_as))
        self.after_each_cell(self._offer_mask_types)
        self._over = MaskCanvas()
        self._facts, self.status = ipywidgets.HTML(), Status()
        groups = (self.controls_offered[:4], self.controls_offered[4:8], self.controls_offered[8:])
        rows = [row(*(self.controls[name] for name in group if name in self.shown)) for group in groups]
        self._pictures = row(gap="8px 24px")
        self.view.children = (*(line for line in rows if line.children), self._pictures, self.status)

    def _offer_mask_types(self) -> None:
        for name in ("mask_type_1", "mask_type_2"):
            self.offer(name, *mask_types())

    def _fit_r(self, change: Any) -> None:
        name = f"r_{change['name'][-1]}"
        largest = max_r(self._masks.shape(change["new"]))
        setattr(self, name, min(getattr(self, name), largest))
        self.controls[name].max = largest

    def _draw(self) -> None:
        try:
            first, second = self.positions
        except Exception as error:  # a learner's own mask function may raise anything
            self._facts.value, self._pictures.children = "", ()  # no picture of the masks before
            self._say(error)
            return
        try:
            found = self._overlap(first, second)
        except ConfigError as error:
            self._facts.value = ""
            self._show_beside(first, second)
            self._say(error)
            return
        self._facts.value = legend(found)
        self.status.say(in_short(found))
        if self.view_as == BESIDE:
            self._show_beside(first, second)
        else:
            self._over.show_overlap(first, second, self._masks.shape(self.layer_1), in_short(found), CAPTION)
            self._pictures.children = (self._over, self._facts)

    def _say(self, error: Exception) -> None:
        self.status.say(in_words(error), error=True)

    @cached_property
    def _beside(self) -> tuple[MaskCanvas, MaskCanvas]:
        return MaskCanvas(), MaskCanvas()

    def _show_beside(self, first: Tensor, second: Tensor) -> None:
        left, right = self._beside
        left.show(first, self._masks.shape(self.layer_1), ink=COLOURS[FIRST], caption="Mask 1")
        right.show(second, self._masks.shape(self.layer_2), ink=COLOURS[SECOND], caption="Mask 2")
        self._pictures.children = (left, right, self._facts)

    def close(self) -> None:
        super().close()
        for canvas in (self._over, *self.__dict__.get("_beside", ())):  # not all of them are in the view
            canvas.close()

    def picture(self) -> bytes | None:
        shapes = self._masks.shape(self.layer_1), self._masks.shape(self.layer_2)
        try:
            first, second = self.positions
        except Exception:  # as in the live view, where the status line says what it was
            return None
        if self.view_as == BESIDE or shapes[0] != shapes[1]:
            return two_masks_png(first, shapes[0], second, shapes[1])
        return overlap_png(overlap_pixels(first, second, shapes[0]))

    def __repr__(self) -> str:
        first = f"{self.mask_type_1} r={self.r_1} seed {self.random_seed_1} on {self.layer_1}"
        second = f"{self.mask_type_2} r={self.r_2} seed {self.random_seed_2} on {self.layer_2}"
        return f"MaskOverlap({first}; {second})"


def in_short(found: Overlap) -> str:
    """An overlap as one sentence, or two."""
    text = (
        f"{found.both:,} entries are in both masks, {found.share:.2%} of the smaller one; independent random masks "
        f"would share about {found.expected:,.0f}, give or take {found.deviation:,.0f}."
    )
    if found.both == found.first == found.second:
        return f"{text} The two masks are the same."
    inside = "Mask 1 lies inside mask 2." if found.first < found.second else "Mask 2 lies inside mask 1."
    return f"{text} {inside}" if found.share == 1 else text


def legend(found: Overlap) -> str:
    """The three colours with the entries that have them, as HTML."""
    counts = {"only mask 1": found.first - found.both, "only mask 2": found.second - found.both, "both": found.both}
    lines = (
        f'<div><span style="display:inline-block;width:14px;height:14px;margin-right:8px;vertical-align:-2px;'
        f'background:{colour}"></span>{escape(name)}: <strong>{count:,}</strong></div>'
        for (name, count), colour in zip(counts.items(), COLOURS[1:], strict=True)
    )
    return f'<div style="line-height:1.8">{"".join(lines)}</div>'
