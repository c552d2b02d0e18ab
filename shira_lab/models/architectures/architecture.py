"""The linear layers of a model, and what it costs to train them, from its configuration alone.

The model is built on PyTorch's meta device: all its layers are there, with shapes and without numbers.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.targets import find_targets
from shira_lab.analysis.costs import Cost, full_cost, lora_cost, shira_cost
from shira_lab.budget import Shape, check_budget
from shira_lab.errors import ConfigError, ShiraError
from shira_lab.masks.positions import shape_of
from shira_lab.models.architectures.activations import bytes_per_token
from shira_lab.models.hub import load_config

#: Groups of layers that exist in every architecture, whatever its layers are called.
GROUPS: Final = ("all-linear", "query-value", "attention", "feed-forward")
#: Types of number by their names.
DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}

_IN_ATTENTION = re.compile(r"\.\d+\..*att(n|ention)")
_IN_A_BLOCK = re.compile(r"\.\d+\.")


@dataclass(frozen=True, eq=False)
class Architecture:
    """A model without its weights.

    Attributes:
        name: what it was asked for by.
        config: its configuration.
        model: all its modules, on the meta device.
    """

    name: str
    config: PreTrainedConfig
    model: PreTrainedModel
    _kept: dict[tuple[str, frozenset[str] | None], int] = field(default_factory=dict, repr=False)

    @cached_property
    def parameters(self) -> int:
        """Numbers of the model; tied weights count once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def shapes(self, target_modules: str | Collection[str] = "all-linear") -> dict[str, Shape]:
        """(m, n) of the layers that an adapter with these targets sits on, by path, as the weights are stored.

        Args:
            target_modules: one of :data:`GROUPS`, or what PEFT takes: names of layers, or a regular expression.

        Raises:
            ConfigError: when nothing matches.
        """
        if target_modules in ("attention", "feed-forward"):
            paths = [path for path in self.shapes() if _group(path) == target_modules]
            if not paths:
                raise ConfigError(f"{self.name} has no linear layer in its {target_modules} blocks.")
        else:
            wanted = None if target_modules == "query-value" else target_modules
            config = ShiraConfig(target_modules=wanted if wanted is None or isinstance(wanted, str) else list(wanted))
            paths = list(find_targets(self.model, config))
        return {path: shape_of(self.model.get_submodule(path)) for path in paths}

    def costs(self, r: int, shapes: Mapping[str, Shape], tokens: int = 0, dtype: str = "bfloat16") -> dict[str, Cost]:
        """What SHiRA, LoRA and full fine-tuning cost, by the method's name.

        Args:
            shapes: the layers with an adapter, from :meth:`shapes`; full fine-tuning trains everything all the same.
            tokens: in one step, batch size times length; 0 leaves the activations out.
            dtype: of the frozen weights and of the activations, "float32" or "bfloat16".

        Raises:
            ConfigError: when r is too large for a layer, or the dtype is another one.
            ShiraError: when the activations cannot be counted, because the model's code needs numbers, or an
                attention of its own.
        """
        if dtype not in DTYPES:
            raise ConfigError(f"`dtype={dtype!r}` is unknown; there are {', '.join(DTYPES)}.")
        for path, shape in shapes.items():
            check_budget(r, shape, f"layer '{path}'")
        width = DTYPES[dtype].itemsize
        adapted = tokens and tokens * self._kept_per_token(dtype, frozenset(shapes))
        full = tokens and tokens * self._kept_per_token(dtype, None)
        # LoRA keeps what SHiRA keeps, and A x: r numbers for each token and layer.
        between = tokens * r * len(shapes) * width
        sizes = list(shapes.values())
        return {
            "SHiRA": shira_cost(r, sizes, self.parameters, width, adapted),
            "LoRA": lora_cost(r, sizes, self.parameters, width, adapted + between),
            "full": full_cost(self.parameters, width, full),
        }

    def _kept_per_token(self, dtype: str, adapted: frozenset[str] | None) -> int:
        """:func:`bytes_per_token`, counted once: it takes a moment for a model of many layers."""
        if (dtype, adapted) not in self._kept:
            try:
                self._kept[dtype, adapted] = bytes_per_token(self.config, DTYPES[dtype], adapted)
            except Exception as error:  # code of models that cannot do without numbers fails in many ways
                raise ShiraError(
                    f"the activations of {self.name} cannot be counted without its weights ({error!r}). Everything "
                    "else can: set `tokens` to 0."
                ) from error
        return self._kept[dtype, adapted]


@cache
def _known() -> dict[str, dict[str, Any]]:
    """``known.json``: the fields that decide shapes, as they stand in ``config.json`` of a model's repository on the
    Hugging Face hub, and the number of parameters that the hub counts in its weights (tied ones once)."""
    facts: dict[str, dict[str, Any]] = json.loads(
        (files("shira_lab.models.architectures") / "known.json").read_text(encoding="utf-8")
    )
    return facts


def known_models() -> dict[str, int]:
    """Models whose configuration ships with the package: the published number of parameters by name, smallest first.

    >>> known_models()["facebook/opt-125m"]
    125239296
    """
    return {name: fact["parameters"] for name, fact in _known().items()}


def find_architecture(name: str | Path) -> Architecture:
    """The shapes of a causal language model.

    >>> find_architecture("facebook/opt-125m").parameters
    125239296

    Args:
        name: one of :func:`known_models`, whose configurations ship with the package; "embedded"; a folder with a
            ``config.json``; or the name of a model on the hub, whose configuration alone is fetched.

    Raises:
        ShiraError: there is no such model, it cannot be reached, or it cannot be built without running code of
            its own.
    """
    known = _known().get(str(name))
    config = AutoConfig.for_model(**known["config"]) if known else load_config(name)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # a configuration from anywhere can make a model's code fail in any way
        raise ShiraError(
            f"no causal language model could be built from the configuration of {name}: {error}"
        ) from error
    return Architecture(str(name), config, model.eval())


def _group(path: str) -> str | None:
    """The part of a transformer block that a layer belongs to; None for layers outside the blocks."""
    if _IN_ATTENTION.search(path):
        return "attention"
    return "feed-forward" if _IN_A_BLOCK.search(path) else None
