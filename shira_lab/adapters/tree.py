"""The modules of a model by path, those of them that carry adapters, and the adapters' names.

Nothing here knows what a config says, so all of it works on injected adapters too.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

from torch import nn

from shira_lab.errors import AdapterError
from shira_lab.layers import AdapterLayer
from shira_lab.layers.modules_to_save import ModulesToSaveWrapper

#: The modules that carry adapters. What lies inside one of them is no target.
_CARRIERS = (AdapterLayer, ModulesToSaveWrapper)
#: What stands for "no adapter" among the names of a mixed batch.
BASE = "__base__"
#: Names that would collide with attributes of the containers that adapters live in.
_RESERVED = frozenset(dir(nn.ModuleDict())) | {BASE}


def walk(model: nn.Module, stop_at: tuple[type[nn.Module], ...] = ()) -> Iterator[tuple[str, nn.Module]]:
    """(path, module) of all modules below ``model``, not descending into those of the ``stop_at`` types."""

    def visit(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            yield path, child
            if not isinstance(child, stop_at):
                yield from visit(f"{path}.", child)

    return visit("", model)


def adapter_layers(model: nn.Module) -> Iterator[tuple[str, AdapterLayer]]:
    """(path, layer) of all adapted layers below ``model``."""
    for path, module in walk(model, _CARRIERS):
        if isinstance(module, AdapterLayer):
            yield path, module


def wrapped_modules(model: nn.Module) -> list[tuple[str, ModulesToSaveWrapper]]:
    """(path, wrapper) of all modules of which adapters have a copy."""
    return [(path, module) for path, module in walk(model, _CARRIERS) if isinstance(module, ModulesToSaveWrapper)]


def base_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(path, module) of all modules, adapted layers shown as the base layers that they were."""
    for path, module in walk(model, _CARRIERS):
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


def check_adapter_name(name: object, taken: Collection[str]) -> None:
    """Raise :class:`AdapterError` for what cannot be the name of a new adapter beside those that are ``taken``."""
    named = isinstance(name, str) and name and not set(name) & set("./\\\0")
    if not named or name in _RESERVED:
        raise AdapterError(
            f"{name!r} cannot be an adapter name: use a non-empty string without dots and slashes that is no attribute "
            "of a module, for instance 'default'."
        )
    if name in taken:
        raise AdapterError(f"Adapter with name {name} already exists; delete it first or choose another name.")


def check_known(known: Collection[str], names: Iterable[str]) -> None:
    """Raise :class:`AdapterError` for the first of ``names`` that is not among the adapters that are ``known``."""
    for name in names:
        if name not in known:
            raise AdapterError(f"Adapter {name} does not exist: this model has {list(known) or 'none'}.")
