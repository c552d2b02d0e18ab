"""The mask of any layer as a picture that follows the r slider, with its budget and the ranks it makes possible."""

import asyncio
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import ipywidgets
import torch
import traitlets
from torch import Tensor, nn

from shira_lab.budget import Shape, check_budget, density, max_r, num_params
from shira_lab.calibration import calibrate
from shira_lab.config import ShiraConfig
from shira_lab.errors import ConfigError
from shira_lab.figures import MaskProfile, mask_png, mask_profile
from shira_lab.figures.budget import ADVICE
from shira_lab.masks import find_mask, mask_types
from shira_lab.masks.function import wants_gradient
from shira_lab.masks.positions import shape_of
from shira_lab.model import PeftModel
from shira_lab.recipe import draw_positions
from shira_lab.spectrum import Spectrum, spectrum
from shira_lab.targets import find_targets, walk
from shira_lab.widgets.app import App
from shira_lab.widgets.controls import Slider, Status, dropdown, in_words, number, plain, row, table
from shira_lab.widgets.pictures import MaskCanvas, SpectrumPlot

VALUES_SEED = 0
#: m * n * min(m, n) up to which singular values are computed at once, in about 20 ms; else when the slider rests.
QUICK = 3e7
REST_SECONDS = 0.15


class MaskExplorer(App):
    """Look at masks before training anything: ``MaskExplorer(model)``.

    Args:
        model: any model with linear layers, with or without adapters.
        show: the controls to be seen, out of layer, mask_type, r and random_seed; None for all.
        calibration: batches for the masks that rank positions by a gradient.
        state: initial ``layer``, ``mask_type``, ``r``, ``random_seed``: attributes that can be set at any time.

    Attributes:
        positions: sorted flat positions (k,) of the mask.
        profile: entries by row and column.
        spectrum: singular values of a delta with normally distributed values at these positions.
    """

    controls_offered = ("layer", "mask_type", "r", "random_seed")

    layer = traitlets.Unicode(help="path of the layer").tag(state=True)
    mask_type = traitlets.Unicode("random").tag(state=True)
    r = traitlets.Int(8).tag(state=True)
    random_seed = traitlets.Int(0, min=0).tag(state=True)

    def __init__(
        self,
        model: nn.Module,
        show: tuple[str, ...] | None = None,
        calibration: Iterable[Any] | None = None,
        **state: Any,
    ) -> None:
        self._model = model.get_base_model() if isinstance(model, PeftModel) else model
        self._layers = adaptable_layers(model)
        self._calibration = calibration
        self._resting: asyncio.TimerHandle | None = None
        super().__init__(show, **{"layer": next(iter(self._layers)), **state})
        self._build()
        self.on_change(self._fit_r, "layer")
        self.on_change(self._renew, "layer", "mask_type", "r", "random_seed")
        self._draw()

    # ---- what the state says ----------------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """(m, n) of the layer's weight."""
        return shape_of(self._layers[self.layer])

    @cached_property
    def positions(self) -> Tensor:
        config = ShiraConfig(r=self.r, mask_type=self.mask_type, random_seed=self.random_seed)
        return draw_positions(self.layer, self._layers[self.layer], config, self._gradient())

    @cached_property
    def profile(self) -> MaskProfile:
        return mask_profile(self.positions, self.shape)

    @cached_property
    def spectrum(self) -> Spectrum:
        # float64: the smallest singular value stands clear of rounding, and the rank is the same on every machine.
        delta = torch.zeros(self.shape, dtype=torch.float64)
        generator = torch.Generator().manual_seed(VALUES_SEED)
        values = torch.randn(len(self.positions), generator=generator, dtype=torch.float64)
        delta.view(-1)[self.positions] = values
        return spectrum(delta)

    @cached_property
    def _gradients(self) -> dict[str, Tensor]:
        assert self._calibration is not None
        return calibrate(self._model, self._layers, self._calibration)

    def _gradient(self) -> Tensor | None:
        mask_fn = find_mask(self.mask_type)
        if mask_fn is None or not wants_gradient(mask_fn):
            return None
        if self._calibration is None:
            raise ConfigError(
                f"The {self.mask_type} mask ranks positions by a gradient: give batches, "
                "MaskExplorer(model, calibration=batches)."
            )
        return self._gradients[self.layer]

    # ---- what the state may be --------------------------------------------------------------------------------------

    @traitlets.validate("layer")
    def _known_layer(self, proposal: Any) -> str:
        if proposal["value"] not in self._layers:
            raise ConfigError(f"`layer={proposal['value']!r}` is no linear layer; there are {', '.join(self._layers)}.")
        return proposal["value"]

    @traitlets.validate("mask_type")
    def _known_mask_type(self, proposal: Any) -> str:
        if proposal["value"] not in mask_types():
            raise ConfigError(f"`mask_type={proposal['value']!r}` is unknown; there are {', '.join(mask_types())}.")
        return proposal["value"]

    @traitlets.validate("r")
    def _legal_r(self, proposal: Any) -> int:
        check_budget(proposal["value"], self.shape, f"layer '{self.layer}'")
        return proposal["value"]

    # ---- the view ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        layers = [(f"{path} ({m} x {n})", path) for path, (m, n) in self._shapes().items()]
        controls: dict[str, ipywidgets.Widget] = {
            "layer": dropdown("layer", layers, self.layer),
            "mask_type": dropdown("mask_type", plain(mask_types()), self.mask_type),
            "r": Slider(description="r", value=self.r, max=max_r(self.shape)),
            "random_seed": number("random_seed", self.random_seed, 0, 9999),
        }
        for name, control in controls.items():
            self.link(name, control)
        self.after_each_cell(lambda: self.offer("mask_type", *mask_types()))
        self._mask, self._spectrum = MaskCanvas(), SpectrumPlot()
        self._facts, self.status = ipywidgets.HTML(), Status()
        beside = ipywidgets.VBox([self._spectrum, self._facts])
        pictures = row(self._mask, beside, gap="8px 24px")
        self.view.children = (row(*(self.controls[name] for name in self.shown)), pictures, self.status)

    def _shapes(self) -> dict[str, Shape]:
        return {path: shape_of(layer) for path, layer in self._layers.items()}

    def _fit_r(self, _: Any) -> None:
        self.r = min(self.r, max_r(self.shape))
        self.controls["r"].max = max_r(self.shape)

    def _renew(self, _: Any) -> None:
        for name in ("positions", "profile", "spectrum"):
            self.__dict__.pop(name, None)
        self._draw()

    def _draw(self) -> None:
        """The picture at once; the spectrum, where it takes long, when the slider rests."""
        try:
            self._mask.show(self.positions, self.shape)
        except Exception as error:  # a learner's own mask function may raise anything
            self._mask.show(torch.empty(0, dtype=torch.int64), self.shape)
            self._facts.value = ""
            self.status.say(in_words(error), error=True)
            return
        self.status.say(self._budget_sentence())
        m, n = self.shape
        self._when_resting(self._draw_spectrum, at_once=m * n * min(m, n) <= QUICK)

    def _draw_spectrum(self) -> None:
        self._spectrum.show(self.spectrum)
        self._facts.value = table(self._fact_rows())

    def _when_resting(self, action: Callable[[], None], at_once: bool) -> None:
        if self._resting:
            self._resting.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            at_once = True
        if at_once:
            action()
        else:
            self._resting = loop.call_later(REST_SECONDS, action)

    def _budget_sentence(self) -> str:
        (m, n), share = self.shape, density(self.r, self.shape)
        advice = "within" if share <= ADVICE else "above"
        return (
            f"r(m + n) = {self.r} * ({m} + {n}) = {num_params(self.r, self.shape):,} of {m * n:,} entries train: "
            f"{share:.2%}, {advice} the usual {ADVICE:.0%}."
        )

    def _fact_rows(self) -> list[tuple[str, str]]:
        (m, n), profile, ranks = self.shape, self.profile, self.spectrum
        return [
            ("rank of a random delta here", f"{ranks.rank} of {min(m, n)} (LoRA with as many numbers: {self.r})"),
            ("stable rank, effective rank", f"{ranks.stable_rank:.1f}, {ranks.effective_rank:.1f}"),
            ("rows without an entry", f"{profile.empty_rows} of {m}"),
            ("columns without an entry", f"{profile.empty_columns} of {n}"),
            ("largest r for this shape", f"{max_r(self.shape)}"),
        ]

    def close(self) -> None:
        if self._resting:
            self._resting.cancel()
        super().close()

    def picture(self) -> bytes | None:
        try:
            return mask_png(self.positions, self.shape)
        except Exception:  # as in the live view, where the status line says what it was
            return None

    def __repr__(self) -> str:
        m, n = self.shape
        k = num_params(self.r, self.shape)
        budget = f"{k:,} of {m * n:,} = {density(self.r, self.shape):.2%}"
        return f"MaskExplorer(layer={self.layer}, mask_type={self.mask_type}, r={self.r}, {budget})"


def adaptable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The linear layers of a model by path, adapted ones shown as their base, its output layer left out."""
    if isinstance(model, PeftModel):
        base, modules = model.get_base_model(), dict(model.base_model.base_modules())
    else:
        base, modules = model, dict(walk(model))
    return {path: modules[path] for path in find_targets(base, modules, ShiraConfig(target_modules="all-linear"))}
