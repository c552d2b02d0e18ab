"""The adapter layers in a model, to be walked through. No config is known here: all works on injected adapters too."""

from collections.abc import Callable, Iterator

from torch import nn

from shira_lab.adapters.modules_to_save import ModulesToSaveWrapper
from shira_lab.adapters.walk import walk
from shira_lab.errors import AdapterError
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


def switched(model: nn.Module) -> list[AdapterLayer | ModulesToSaveWrapper]:
    """What adapters can be switched off and on in."""
    return [module for module in model.modules() if isinstance(module, AdapterLayer | ModulesToSaveWrapper)]


def ask_all(model: nn.Module, check: Callable[[AdapterLayer], None]) -> None:
    """Raise the first :class:`AdapterError` that ``check`` raises for a layer, before any layer is changed."""
    for path, layer in adapter_layers(model):
        try:
            check(layer)
        except AdapterError as error:
            raise AdapterError(f"Layer '{path}': {error}") from None


def replace_module(model: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)


def _walk(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return walk(model, stop_at=(AdapterLayer, ModulesToSaveWrapper))
