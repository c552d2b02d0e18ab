"""Choose positions by weights or gradients: how many samples it takes, how they are reduced, per layer or globally."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import ipywidgets
import traitlets
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.targets import find_targets
from shira_lab.budget import check_budget, max_r
from shira_lab.course.figures import mask_png, mask_profile
from shira_lab.course.masks.choices import SCORES, Choice, Choices, Scope
from shira_lab.course.masks.running import REDUCTION_NAMES, running_calibration
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.choice_pictures import LayerBars, ShareCurves
from shira_lab.course.widgets.controls import Slider, Status, dropdown, plain, row, table
from shira_lab.course.widgets.pictures import MaskCanvas
from shira_lab.course.widgets.resting import Step, WhenResting
from shira_lab.errors import ConfigError
from shira_lab.masks.calibration import Gradients, Reduction
from shira_lab.training.settings import Settings
from shira_lab.training.stories import Stories

MAX_R = 32


class PositionsExplorer(App):
    """Move what the paper leaves open: ``PositionsExplorer(model, tokenizer)``.

    It calibrates once, on one story after the other, and keeps what it knows after 1, 2, 4, ... of them; from then on
    every choice is at hand. That takes 8 bytes for each weight and number of stories kept.

    Args:
        model: a causal language model without adapters.
        show: the controls to be seen, out of ``controls_offered``; None for all.
        world: whose stories it calibrates on; ``seed``: which of them.
        calibration_samples: how many stories.
        calibration: what :func:`~shira_lab.course.masks.running.running_calibration` gave, instead of calibrating here.
        target_modules: the layers, as in :class:`~shira_lab.adapters.config.ShiraConfig`.
        state: initial values of the traits below.
    """

    controls_offered = ("layer", "score", "samples", "reduction", "r", "scope")

    layer = traitlets.Unicode(help="path of the layer").tag(state=True)
    score = traitlets.Enum(tuple(SCORES), "gradient").tag(state=True)
    samples = traitlets.Int(8).tag(state=True)
    reduction = traitlets.Enum(get_args(Reduction), "mean_abs").tag(state=True)
    r = traitlets.Int(8).tag(state=True)
    scope = traitlets.Enum(get_args(Scope), "per layer").tag(state=True)

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        show: tuple[str, ...] | None = None,
        world: str = "sea",
        seed: int = 0,
        calibration_samples: int = 128,
        calibration: Mapping[int, Mapping[Reduction, Gradients]] | None = None,
        target_modules: str | list[str] = "all-linear",
        **state: Any,
    ) -> None:
        layers = find_targets(model, ShiraConfig(target_modules=target_modules))
        if calibration is None:
            samples = Stories(Settings(world=world, seed=seed), tokenizer).samples(calibration_samples)
            stops = doublings(calibration_samples)
            calibration = running_calibration(model, list(layers), with_progress(samples, calibration_samples), stops)
        self.choices = Choices(layers, calibration)
        self._resting = WhenResting()
        super().__init__(show, **{"layer": next(iter(layers)), "samples": self.choices.samples[0], **state})
        self._build()
        self.on_change(lambda _: self._draw(), *self.traits(state=True))
        self._draw()

    # ---- what the state says ----------------------------------------------------------------------------------------

    @property
    def choice(self) -> Choice:
        """The way to choose that the controls describe."""
        return Choice(self.score, self.r, self.samples, self.reduction, self.scope)

    @property
    def positions(self) -> Tensor:
        """Sorted flat positions that train in the layer."""
        return self.choices.positions(self.choice, self.layer)

    @property
    def agreement(self) -> float:
        """Share of the positions that are also chosen from all samples."""
        return self.choices.agreement_with_all(self.choice, self.layer)[self.samples]

    @traitlets.validate("layer")
    def _known_layer(self, proposal: Any) -> str:
        if proposal["value"] not in self.choices.layers:
            known = ", ".join(self.choices.layers)
            raise ConfigError(f"`layer={proposal['value']!r}` is not calibrated; there are {known}.")
        return proposal["value"]

    @traitlets.validate("samples")
    def _kept(self, proposal: Any) -> int:
        if proposal["value"] not in self.choices.samples:
            known = ", ".join(map(str, self.choices.samples))
            raise ConfigError(f"`samples={proposal['value']}` was not kept; there are {known}.")
        return proposal["value"]

    @traitlets.validate("r")
    def _legal_r(self, proposal: Any) -> int:
        for path, shape in self.choices.shapes.items():
            check_budget(proposal["value"], shape, f"layer '{path}'")
        return proposal["value"]

    # ---- the view ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        layers = [(f"{path} ({m} x {n})", path) for path, (m, n) in self.choices.shapes.items()]
        stops, reductions = self.choices.samples, [(name, value) for value, name in REDUCTION_NAMES.items()]
        largest = min(MAX_R, *(max_r(shape) for shape in self.choices.shapes.values()))
        controls: dict[str, ipywidgets.Widget] = {
            "layer": dropdown("layer", layers, self.layer),
            "score": dropdown("score", plain(tuple(SCORES)), self.score),
            "samples": Slider(description="samples", value=self.samples, max=stops[-1], stops=list(stops)),
            "reduction": dropdown("reduction", reductions, self.reduction),
            "r": Slider(description="r", value=self.r, max=max(largest, self.r)),
            "scope": dropdown("scope", plain(get_args(Scope)), self.scope),
        }
        for name, control in controls.items():
            self.link(name, control)
        self._mask, self._bars = MaskCanvas(), LayerBars()
        self._curves = ShareCurves(x_title="samples", y_title="also chosen from all samples", level_name="chance")
        self._facts, self.status = ipywidgets.HTML(), Status()
        beside = ipywidgets.VBox([self._curves, self._facts])
        pictures = row(self._mask, beside, self._bars, gap="8px 24px")
        self.view.children = (row(*(self.controls[name] for name in self.shown)), self.status, pictures)

    def _draw(self) -> None:
        """A mask of one layer at once; what needs a whole model, when the slider rests."""
        if self.scope == "global":
            self.status.say("Choosing among the entries of all layers ...")
        self._resting.run(self._steps(), at_once=self.scope == "per layer")

    def _draw_choice(self) -> None:
        own = {path: self.choices.budget(self.choice, path) for path in self.choices.layers}
        sizes = {path: m * n for path, (m, n) in self.choices.shapes.items()}
        self._mask.show(self.positions, self.choices.shapes[self.layer])
        counts = self.choices.counts(self.choice) if self.scope == "global" else own
        self._bars.show(counts, own, sizes, self.layer)

    def _steps(self) -> Iterator[Step]:
        """Choose here, and for every number of samples, one after the other, then show how they agree."""
        yield self._draw_choice
        for reduction in REDUCTION_NAMES:
            for n in self.choices.samples:
                choice = replace(self.choice, reduction=reduction, samples=n)
                yield partial(self.choices.positions, choice, self.layer)
        yield self._compare

    def _compare(self) -> None:
        curves = {
            name: list(self.choices.agreement_with_all(replace(self.choice, reduction=reduction), self.layer).values())
            for reduction, name in REDUCTION_NAMES.items()
        }
        self._curves.show(self.choices.samples, self.samples, curves, self.choices.chance(self.choice, self.layer))
        self._facts.value = table(self._fact_rows())
        self.status.say(self._sentence())

    def _sentence(self) -> str:
        m, n = self.choices.shapes[self.layer]
        trained = f"{len(self.positions):,} of {m * n:,} entries of this layer train."
        if self.score == "magnitude":
            return f"{trained} The magnitude mask looks at weights alone and needs no samples."
        where = "" if self.scope == "per layer" else " of all layers"
        return (
            f"{trained} {self.agreement:.0%} of the positions{where} are also chosen from all "
            f"{self.choices.samples[-1]} samples; chance would give {self.choices.chance(self.choice, self.layer):.0%}."
        )

    def _fact_rows(self) -> list[tuple[str, str]]:
        other: Reduction = "abs_mean" if self.reduction == "mean_abs" else "mean_abs"
        (m, n), profile = self.choices.shapes[self.layer], mask_profile(self.positions, self.choices.shapes[self.layer])
        shared = self.choices.agreement(self.choice, replace(self.choice, reduction=other), self.layer)
        weights = self.choices.agreement(self.choice, replace(self.choice, score="magnitude"), self.layer)
        return [
            (f"also chosen by {REDUCTION_NAMES[other]}", f"{shared:.0%}"),
            ("also chosen by magnitude", f"{weights:.0%}"),
            ("rows without an entry", f"{profile.empty_rows} of {m}"),
            ("columns without an entry", f"{profile.empty_columns} of {n}"),
        ]

    def _settle(self) -> None:
        self._resting.finish()

    def close(self) -> None:
        self._resting.cancel()
        super().close()

    def picture(self) -> bytes:
        return mask_png(self.positions, self.choices.shapes[self.layer])


def doublings(largest: int) -> tuple[int, ...]:
    """1, 2, 4, ... up to ``largest``, which is the last one whatever it is."""
    return (*(2**power for power in range(largest.bit_length()) if 2**power < largest), largest)


def with_progress(batches: Iterator[Any], total: int) -> Iterator[Any]:
    """The batches, with a bar in the notebook that goes away when they are no longer read."""
    from IPython.display import display

    bar = ipywidgets.HTML()
    display({**(bar._repr_mimebundle_() or {}), "text/plain": ""}, raw=True)
    try:
        for done, batch in enumerate(batches):
            bar.value = (
                f'<label>calibrating on {total} samples <progress max="{total}" value="{done}"></progress></label>'
            )
            yield batch
    finally:
        bar.close()
