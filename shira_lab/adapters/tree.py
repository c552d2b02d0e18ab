"""The adapter layers in a model, to be walked through. No config is known here: all works on injected adapters too."""

from collections.abc import Iterator

from torch import nn

from shira_lab.adapters.modules_to_save import ModulesToSaveWrapper
from shira_lab.adapters.walk import walk
from shira_lab.layers import AdapterLayer


def adapter_layers(model: nn.Module) -> Iterator[tuple[str, AdapterLayer]]:
    """(path, layer) of all adapted layers below ``model``."""
    for path, module in _walk(model):
        if isinstance(module, AdapterLayer):
            yield path, module


def wrapped_modules(model: nn.Module) -> list[tuple[str, ModulesToSaveWrapper]]:
    """(path, wrapper) of all modules of which adapters have a copy."""
    return [(path, module) for path, module in _walk(model) if isinstance(module, ModulesToSaveWrapper)]


def base_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(path, module) of all modules, adapted layers shown as the base layers that they were."""
    for path, module in _walk(model):
        yield path, module.clean_base_layer() if isinstance(module, AdapterLayer) else module


def replace_module(model: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)


def _walk(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return walk(model, stop_at=(AdapterLayer, ModulesToSaveWrapper))
