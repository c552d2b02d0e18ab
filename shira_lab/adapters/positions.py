"""Positions of adapters that are on a model: those that a new adapter is to avoid, and a move to other positions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.new_adapter import draw_positions, prepare_config
from shira_lab.adapters.tree import adapter_layers, ask_all, check_known
from shira_lab.errors import AdapterError, expect
from shira_lab.layers import AdapterLayer, ShiraAdapter
from shira_lab.masks.calibration import Calibration
from shira_lab.masks.positions import to_mask

if TYPE_CHECKING:
    from shira_lab.adapters.model import PeftModel

#: The fields of a config that say which positions train.
_MASK_FIELDS = ("mask_type", "custom_mask_fn", "random_seed", "seed_per_layer", "avoid", "mask_kwargs")


def taken_entries(model: nn.Module, names: list[str], known: Mapping[str, AdapterConfig]) -> dict[str, Tensor]:
    """By layer path, a mask (m, n) of the entries of these adapters.

    Args:
        model: the user's model with its adapter layers.
        names: the adapters that a config says to ``avoid``.
        known: the configs of the adapters that are there.

    Raises:
        AdapterError: when a name is not there, or is no SHiRA adapter's.
    """
    check_known(known, names)
    for name in names:
        if not isinstance(known[name], ShiraConfig):
            raise AdapterError(f"`avoid`: '{name}' is a LoRA adapter, which changes every entry; name SHiRA adapters.")
    taken: dict[str, Tensor] = {}
    for path, layer in adapter_layers(model):
        found = [a.positions for n, a in layer.named_adapters() if n in names and isinstance(a, ShiraAdapter)]
        if found:
            taken[path] = to_mask(torch.cat(found), layer.weight) != 0
    return taken


def set_mask(
    self: "PeftModel", adapter_name: str, peft_config: ShiraConfig, calibration: Calibration | None = None
) -> None:
    """Move a SHiRA adapter to the masks of another config; values at positions in both masks stay.

    So do gradients, and what an optimizer that has made a step remembers of these values, such as Adam's moments.
    A new entry starts at zero and without a past.

    Raises:
        AdapterError: when the number of values would change; nothing has changed then.
    """
    expect(peft_config, ShiraConfig, "peft_config", "a ShiraConfig, which says where the new mask lies")
    check_known(self.peft_config, [adapter_name])
    layers = {path: layer for path, layer in self.base_model.adapter_layers() if adapter_name in layer.adapters}
    found = self.calibrated(peft_config, calibration, list(layers)) or {}
    base = {path: layer.clean_base_layer() for path, layer in layers.items()}
    config = prepare_config(self.base_model.model, peft_config, list(base.values()))
    taken = taken_entries(self.base_model.model, config.avoid, self.peft_config)
    positions = {path: draw_positions(path, base[path], config, found.get(path), taken.get(path)) for path in layers}
    sizes = {layer: positions[path].numel() for path, layer in layers.items()}
    ask_all(self.base_model.model, AdapterLayer.check_untouched)
    ask_all(self.base_model.model, lambda n: n.check_positions(adapter_name, sizes[n]) if n in sizes else None)
    for path, layer in layers.items():
        layer.set_positions(adapter_name, positions[path])
    mask = {field: getattr(config, field) for field in _MASK_FIELDS}
    self.peft_config[adapter_name] = self.peft_config[adapter_name].copy(**mask)
