"""Entries of the weights that other adapters have taken, for a config that says to ``avoid`` them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.tree import adapter_layers, check_known
from shira_lab.errors import AdapterError
from shira_lab.layers import ShiraAdapter
from shira_lab.masks.positions import to_mask


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
