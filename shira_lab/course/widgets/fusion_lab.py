"""Two adapters on one model, a slider for the scale of each: what both worlds lose, and what the model generates."""

from dataclasses import dataclass
from typing import Any

import ipywidgets
import traitlets
from transformers import PreTrainedTokenizerBase

from shira_lab.adapters.model import PeftModel
from shira_lab.course.figures import figure_png, losses_figure, losses_svg
from shira_lab.course.fusion.pair import shipped_pair
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import FloatSlider, Status, row
from shira_lab.course.widgets.resting import WhenResting
from shira_lab.course.widgets.texts import side_by_side
from shira_lab.errors import ConfigError
from shira_lab.training.evaluate import sample, story_loss
from shira_lab.training.worlds import get_world

PROMPT = "Once there was"
TOKENS, TEMPERATURE, SEED = 60, 0.5, 0  # of the text; below 1, so that whole sentences come out


@dataclass(frozen=True)
class Moment:
    """What the model does at two scales.

    Attributes:
        excess: held-out excess by world, nats per token.
    """

    scales: tuple[float, float]
    excess: dict[str, float]
    text: str


class FusionLab(App):
    """Fuse two adapters by hand: ``lab = FusionLab()``.

    Args:
        model: carries two adapters that are named after the worlds they learned; None takes the pair of the package.
        tokenizer: of the model.
        stories: held-out stories of each world that a measurement reads.
        show: the controls to be seen, out of scale_1 and scale_2; None for both.
        state: initial ``scale_1`` and ``scale_2``, each from 0 to 1.5.

    Attributes:
        before, now: what was measured before the last move, and after it.

    Raises:
        ConfigError: when the model does not carry two adapters.
    """

    controls_offered = ("scale_1", "scale_2")

    scale_1 = traitlets.Float(1.0, min=0.0, max=1.5).tag(state=True)
    scale_2 = traitlets.Float(0.0, min=0.0, max=1.5).tag(state=True)

    def __init__(
        self,
        model: PeftModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        stories: int = 8,
        show: tuple[str, ...] | None = None,
        **state: Any,
    ) -> None:
        if model is None or tokenizer is None:
            model, tokenizer = shipped_pair()
        self.model, self.tokenizer = model, tokenizer
        self.worlds = tuple(model.peft_config)
        if len(self.worlds) != 2:
            raise ConfigError(f"A FusionLab fuses two adapters; this model has {len(self.worlds)}.")
        self._stories = {name: get_world(name).stories(stories, split="held-out") for name in self.worlds}
        super().__init__(show, **state)
        self._resting = WhenResting()
        self.base, first, second = (self._measure(*scales) for scales in ((0, 0), (1, 0), (0, 1)))
        self.alone = {name: one[name] for name, one in zip(self.worlds, (first, second), strict=True)}
        self.before = self.now = self._moment()
        self._build()
        self.on_change(self._moved, "scale_1", "scale_2")
        self._show()

    # ---- measuring --------------------------------------------------------------------------------------------------

    def _set(self, scale_1: float, scale_2: float) -> None:
        for name, scale in zip(self.worlds, (scale_1, scale_2), strict=True):
            self.model.set_scale(name, scale)
        self.model.set_adapter(list(self.worlds), inference_mode=True)

    def _measure(self, scale_1: float, scale_2: float) -> dict[str, float]:
        self._set(scale_1, scale_2)
        return {name: self._excess(name) for name in self.worlds}

    def _excess(self, world: str) -> float:
        return story_loss(self.model, self.tokenizer, self._stories[world]).excess

    def _text(self) -> str:
        return sample(
            self.model, self.tokenizer, prompt=PROMPT, temperature=TEMPERATURE, seed=SEED, max_new_tokens=TOKENS
        )[0]

    def _moment(self) -> Moment:
        scales = self.scale_1, self.scale_2
        return Moment(scales, self._measure(*scales), self._text())

    def _moved(self, _: Any = None) -> None:
        """Measure in steps once the sliders rest; another move forgets what was begun."""
        scales, excess = (self.scale_1, self.scale_2), dict[str, float]()

        def measure(world: str) -> None:
            self._set(*scales)
            excess[world] = self._excess(world)

        def finish() -> None:
            self._set(*scales)
            self.before, self.now = self.now, Moment(scales, excess, self._text())
            self._show()

        self.status.say("Measuring when the sliders rest ...")
        self._resting.run([*(lambda name=name: measure(name) for name in self.worlds), finish])

    # ---- the view ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        for name, world in zip(self.controls_offered, self.worlds, strict=True):
            self.link(name, FloatSlider(description=f"scale of {world}", max=1.5, step=0.05))
        self.status, self._losses, self._texts = Status(), ipywidgets.HTML(), ipywidgets.HTML()
        sliders = row(*(self.controls[name] for name in self.shown))
        self.view.children = (sliders, self.status, self._losses, self._texts)

    def _show(self) -> None:
        now, before = self.now, self.before
        self._losses.value = losses_svg(now.excess, before.excess, self.alone, self.base)
        self._texts.value = side_by_side(
            [(f"before: {self._said(before)}", before.text), (f"now: {self._said(now)}", now.text)]
        )
        change = {world: now.excess[world] - before.excess[world] for world in self.worlds}
        losses = ", ".join(f"{world} {now.excess[world]:.2f} ({change[world]:+.2f})" for world in self.worlds)
        self.status.say(f"Excess at {self._said(now)}: {losses} nats/token.")

    def _said(self, moment: Moment) -> str:
        return ", ".join(f"{world} x {scale:g}" for world, scale in zip(self.worlds, moment.scales, strict=True))

    def close(self) -> None:
        self._resting.cancel()
        super().close()

    def picture(self) -> bytes | None:
        return figure_png(losses_figure(self.now.excess, self.alone, self.base, self._said(self.now)))
