"""A shelf of adapters under the arrow keys: the next one is in the model at once, and the text follows."""

import time
from typing import Any

import ipywidgets
import traitlets
from transformers import PreTrainedTokenizerBase

from shira_lab.adapters.shelf import AdapterShelf
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import Slider, Status, row
from shira_lab.course.widgets.texts import side_by_side
from shira_lab.errors import ConfigError
from shira_lab.training.evaluate import sample

TOKENS, TEMPERATURE, SEED = 40, 0.5, 0


class AdapterSwitcher(App):
    """Switch between the adapters of a folder: ``AdapterSwitcher(shelf, tokenizer)``.

    Args:
        shelf: the adapters, beside the model that takes them in.
        prompt: beginning of the texts; they are all drawn with one seed, so that they differ by the adapter.
        show: the controls to be seen, ``number`` alone; None for all.
        state: the initial ``number``: 0 for the base model, else the adapter's place on the shelf, from 1.

    Attributes:
        text: what the model generated last.

    Raises:
        ConfigError: for a number that is not on the shelf.
    """

    controls_offered = ("number",)

    number = traitlets.Int(0, min=0).tag(state=True)

    def __init__(
        self,
        shelf: AdapterShelf,
        tokenizer: PreTrainedTokenizerBase,
        prompt: str = "Once there was",
        show: tuple[str, ...] | None = None,
        **state: Any,
    ) -> None:
        self.shelf, self.tokenizer, self.prompt = shelf, tokenizer, prompt
        self.names, self.text = shelf.names, ""
        super().__init__(show, **state)
        self.status, self._card = Status(), ipywidgets.HTML()
        slider = Slider(description="adapter", min=0, max=len(self.names), value=self.number)
        self.link("number", slider)
        self.view.children = (row(*(self.controls[name] for name in self.shown)), self.status, self._card)
        self.on_change(self._switch, "number")
        self._switch()

    @property
    def name(self) -> str | None:
        """The adapter that is in the model; None for the base model."""
        return self.names[self.number - 1] if self.number else None

    @traitlets.validate("number")
    def _known_number(self, proposal: Any) -> int:
        number = int(proposal["value"])
        if number > len(self.names):
            raise ConfigError(f"`number={number}` is not on the shelf: it holds {len(self.names)} adapters.")
        return number

    def _switch(self, _: Any = None) -> None:
        name, started = self.name, time.perf_counter()
        read = name is not None and name not in self.shelf.loaded
        self.shelf.switch(name)
        switched = time.perf_counter()
        self.text = sample(
            self.shelf.model, self.tokenizer, prompt=self.prompt, temperature=TEMPERATURE, seed=SEED,
            max_new_tokens=TOKENS,
        )[0]  # fmt: skip
        generated = time.perf_counter()
        self._card.value = side_by_side([(name or "base model", self.text)])
        how = "read from the folder and switched" if read else "switched"
        self.status.say(
            f"{how} in {1000 * (switched - started):.0f} ms; generated in {1000 * (generated - switched):.0f} ms."
        )
