"""The configuration of a way, beside :class:`~shira_lab.ShiraConfig` and :class:`~shira_lab.LoraConfig`."""

import inspect
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn

from shira_lab.adapters.config import AdapterConfig, takes_pefts_fields
from shira_lab.adapters.new_adapter import new_of_kind
from shira_lab.adapters.storage.save import in_words
from shira_lab.budget import check_budget
from shira_lab.errors import ConfigError, check_seed, expect
from shira_lab.masks.positions import shape_of, weight_of
from shira_lab.training.ways.way import WAYS, Way


@takes_pefts_fields
@dataclass
class WayConfig(AdapterConfig):
    """A way to change each targeted weight (m, n) with r(m + n) parameters.

    PEFT loads no file of this kind, not even of its own methods: it has another config for each of them.
    :class:`~shira_lab.PeftModel` loads them once ``shira_lab.training.ways`` is imported.

    >>> WayConfig(way="gralora", r=4, target_modules=["q_proj"], options={"q": 4}).way
    'gralora'

    Args:
        r: size of the adapter.
        way: a name in :data:`shira_lab.training.ways.WAYS`.
        random_seed: of what is drawn and stays, such as positions; all layers have this seed, as in SHiRA.
        options: further arguments of the way, such as {"q": 4}.

    Raises:
        ConfigError: for a value that cannot work, naming the field.
    """

    peft_type: ClassVar[str] = "WAY"

    r: int = 8
    way: str = "hira"
    random_seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.way not in WAYS:
            raise ConfigError(f"`way` should be one of {', '.join(WAYS)}; got {self.way!r}.")
        check_seed(self.random_seed)
        expect(self.options, dict, "options", "a dict of further arguments of the way")
        known = inspect.signature(WAYS[self.way]).parameters.keys() - {"base_layer", "r", "seed"}
        if unknown := sorted(self.options.keys() - known):
            raise ConfigError(
                f"`options` has {', '.join(unknown)}; the way '{self.way}' takes {', '.join(sorted(known)) or 'none'}."
            )

    def make(self, path: str, base_layer: nn.Module, dtype: torch.dtype) -> Way:
        """The way of the layer at ``path``, on its device.

        Raises:
            ConfigError: when the layer is no ``nn.Linear``, r or an option does not fit its shape, or the way has
                another number of parameters than it may.
        """
        if not isinstance(base_layer, nn.Linear):
            raise ConfigError(
                f"Layer '{path}' is a {type(base_layer).__name__}; a way changes nn.Linear alone. Use SHiRA or LoRA."
            )
        r, shape = self.r_for(path), shape_of(base_layer)
        check_budget(r, shape, f"layer '{path}'")
        made = WAYS[self.way](base_layer, r, seed=self.random_seed, **self.options)
        count = sum(parameter.numel() for parameter in made.parameters())
        expected = made.parameters_for(r, shape)
        if count != expected:
            raise ConfigError(
                f"The way '{self.way}' has {count:,} parameters for layer '{path}' of shape {shape} and r = {r}; "
                f"expected {made.law} = {expected:,}."
            )
        return made.to(device=weight_of(base_layer).device, dtype=dtype)


new_of_kind.register(WayConfig, WayConfig.make)


@in_words.register
def _(config: WayConfig) -> tuple[str, str, str]:
    sentence = (
        f"An update of the way '{config.way}' with {WAYS[config.way].law} parameters for each target's (m, n) weight. "
        "PEFT has no such kind: import shira_lab.training.ways before it is loaded."
    )
    return WAYS[config.way].kind, sentence, f"options: {config.options}"
