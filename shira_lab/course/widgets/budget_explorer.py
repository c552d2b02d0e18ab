"""The budget of a whole model, without its weights: SHiRA beside LoRA and full fine-tuning, in memory and on disk."""

from functools import cached_property
from typing import Any

import ipywidgets
import traitlets

from shira_lab.analysis.costs import Cost
from shira_lab.budget import Shape, check_budget, max_r
from shira_lab.course.figures import costs_in_words, costs_svg
from shira_lab.course.tables import as_html
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import Slider, Status, dropdown, number, plain, row
from shira_lab.course.widgets.cost_tables import cost_rows, layer_rows
from shira_lab.errors import ConfigError, ShiraError
from shira_lab.models.architectures import DTYPES, GROUPS, Architecture, find_architecture, known_models
from shira_lab.models.hub import EMBEDDED

GROUP_LABELS = dict(zip(GROUPS, ("all linear layers", "query and value", "attention", "feed-forward"), strict=True))
MAX_BATCH, MAX_LENGTH = 1024, 131_072


class BudgetExplorer(App):
    """What r(m + n) trainable parameters in each layer of a model cost: ``BudgetExplorer()``.

    Args:
        show: the controls to be seen, out of model, other_model, target_modules, r, batch_size, length, dtype; None for
            all.
        state: initial ``model``, ``target_modules``, ``r``, ``batch_size``, ``length``, ``dtype``: attributes that can
            be set at any time. ``model`` is what :func:`shira_lab.models.architectures.find_architecture` takes;
            ``target_modules`` a group of layers, or names of layers separated by commas; ``length`` counts tokens.
    """

    controls_offered = ("model", "other_model", "target_modules", "r", "batch_size", "length", "dtype")

    model = traitlets.Unicode("facebook/opt-125m").tag(state=True)
    target_modules = traitlets.Unicode("all-linear").tag(state=True)
    r = traitlets.Int(8).tag(state=True)
    batch_size = traitlets.Int(1, min=1, max=MAX_BATCH).tag(state=True)
    length = traitlets.Int(512, min=1, max=MAX_LENGTH).tag(state=True)
    dtype = traitlets.Unicode("bfloat16", help="of frozen weights and activations").tag(state=True)

    def __init__(self, show: tuple[str, ...] | None = None, **state: Any) -> None:
        super().__init__(show, **state)
        self._build()
        self.on_change(self._fit, "model", "target_modules")
        self.on_change(self._renew, "r", "batch_size", "length", "dtype")
        self._fit()

    # ---- what the state says ----------------------------------------------------------------------------------------

    @cached_property
    def architecture(self) -> Architecture:
        """The model of this name, without weights; ShiraError when it cannot be had."""
        return find_architecture(self.model)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """(m, n) of the adapted layers by path."""
        targets = self.target_modules
        return self.architecture.shapes(targets if targets in GROUPS else [name.strip() for name in targets.split(",")])

    @cached_property
    def costs(self) -> dict[str, Cost]:
        """What SHiRA, LoRA and full fine-tuning cost, without activations where these cannot be counted."""
        try:
            self._uncounted = ""
            return self.architecture.costs(self.r, self.shapes, self.batch_size * self.length, self.dtype)
        except ShiraError as error:
            self._uncounted = f" {error}"
            return self.architecture.costs(self.r, self.shapes, 0, self.dtype)

    @property
    def largest_r(self) -> int:
        """The largest r that is legal in each of the layers."""
        return min(map(max_r, self.shapes.values()))

    # ---- what the state may be --------------------------------------------------------------------------------------

    @traitlets.validate("r")
    def _legal_r(self, proposal: Any) -> int:
        for path, shape in self.__dict__.get("shapes", {"any layer": (2**62, 2**62)}).items():
            check_budget(proposal["value"], shape, f"layer '{path}'")
        return proposal["value"]

    @traitlets.validate("dtype")
    def _known_dtype(self, proposal: Any) -> str:
        if proposal["value"] not in DTYPES:
            raise ConfigError(f"`dtype={proposal['value']!r}` is unknown; there are {', '.join(DTYPES)}.")
        return proposal["value"]

    # ---- the view ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        models = [(f"{name} ({in_words(size)})", name) for name, size in known_models().items()]
        groups = [(label, group) for group, label in GROUP_LABELS.items()]
        offered = {
            "model": ([(f"{EMBEDDED} (2 million)", EMBEDDED), *models], self.model),
            "target_modules": (groups, self.target_modules),
            "dtype": (plain(list(DTYPES)), self.dtype),
        }
        for name, (options, value) in offered.items():
            missing = [] if value in [known for _, known in options] else plain([value])
            self.link(name, dropdown(name, [*options, *missing], value))
        self.link("r", Slider(description="r", value=self.r, max=max(self.r, 64)))
        self.link("batch_size", number("batch_size", self.batch_size, 1, MAX_BATCH))
        self.link("length", number("length (tokens)", self.length, 1, MAX_LENGTH))
        self.controls["other_model"] = other = ipywidgets.Text(
            description="other model", placeholder="a folder, or a name on the hub", continuous_update=False,
            style={"description_width": "initial"}, layout={"width": "320px"},
        )  # fmt: skip
        other.observe(self._take_other, "value")
        self._undo.append(lambda: other.unobserve_all())
        self._bars, self._table, self._layers, self.status = (*(ipywidgets.HTML() for _ in range(3)), Status())
        controls = row(*(self.controls[name] for name in self.shown))
        self.view.children = (controls, self.status, row(self._bars, self._table, gap="8px 24px"), self._layers)

    def _take_other(self, change: Any) -> None:
        if change["new"].strip():
            self.model = change["new"].strip()

    def _fit(self, _: Any = None) -> None:
        """After another choice of layers: r stays where it is legal."""
        for name in ("architecture", "shapes", "costs"):
            self.__dict__.pop(name, None)
        if self.model not in (EMBEDDED, *known_models()):
            self.status.say(f"Looking for {self.model} ...")
        try:
            largest = self.largest_r
        except ShiraError as error:
            self._refuse(error)
            return
        self.r = min(self.r, largest)
        self.controls["r"].max = largest
        self._renew()

    def _renew(self, _: Any = None) -> None:
        self.__dict__.pop("costs", None)
        if "shapes" not in self.__dict__:
            return  # the status line says why
        costs = self.costs
        self._bars.value = costs_svg(costs)
        self._table.value = as_html(cost_rows(costs, self.architecture.parameters), "What it costs")
        self._layers.value = as_html(layer_rows(self.shapes, self.r), f"The layers, each with r = {self.r}")
        self.status.say(self._sentence())

    def _refuse(self, error: ShiraError) -> None:
        for part in (self._bars, self._table, self._layers):
            part.value = ""
        self.status.say(str(error), error=True)

    def _sentence(self) -> str:
        trained, parameters = self.costs["SHiRA"].trained, self.architecture.parameters
        return (
            f"{self.model} has {parameters:,} parameters. With r = {self.r} in {len(self.shapes)} layers, SHiRA and "
            f"LoRA train {trained:,} of them, {trained / parameters:.2%}.{self._uncounted}"
        )

    def __repr__(self) -> str:
        try:
            costs = self.costs
        except ShiraError as error:
            return f"BudgetExplorer(model={self.model}): {error}"
        state = f"model={self.model}, target_modules={self.target_modules}, r={self.r}"
        return f"BudgetExplorer({state}): {costs['SHiRA'].trained:,} trainable parameters. {costs_in_words(costs)}"

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The picture at rest is the bars' SVG."""
        bundle = super()._repr_mimebundle_(*args, **kwargs)
        return {**bundle, "image/svg+xml": self._bars.value} if self._bars.value else bundle


def in_words(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} billion" if parameters >= 1e9 else f"{parameters / 1e6:.0f} million"
