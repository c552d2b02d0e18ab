"""Modules that train in full with an adapter, such as a new classifier head: which they are, and their copies."""

from typing import TypeVar

from torch import nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.tasks import TASK_HEADS
from shira_lab.adapters.tree import replace_module, walk
from shira_lab.errors import ConfigError
from shira_lab.layers import AdapterLayer
from shira_lab.layers.modules_to_save import ModulesToSaveWrapper

C = TypeVar("C", bound=AdapterConfig)


def with_task_head(model: nn.Module, config: C) -> C:
    """The config with the heads of its task type that ``model`` has among its ``modules_to_save``, as in PEFT.

    PEFT writes every name that a head can have into its files; those that the model lacks are left out here.
    """
    heads = TASK_HEADS.get(config.task_type or "", ())
    there = {path.rpartition(".")[2] for path, _ in walk(model, stop_at=(ModulesToSaveWrapper,))}
    given = config.modules_to_save or []
    names = [name for name in given if name in there or name not in heads]
    names += [name for name in heads if name in there and name not in names]
    return config if names == given else config.copy(modules_to_save=names)


def find_modules_to_save(model: nn.Module, names: list[str] | None) -> list[str]:
    """The paths of the modules with these names (paths or their endings).

    Raises:
        ConfigError: when a name matches nothing, or a module that carries adapters itself or is never called.
    """
    modules = [path for path, _ in walk(model, stop_at=(ModulesToSaveWrapper,))]
    paths: list[str] = []
    for name in names or []:
        found = [path for path in modules if path == name or path.endswith(f".{name}")]
        if not found:
            raise ConfigError(f"`modules_to_save`: no module is named '{name}'. The top ones are {_top(model)}.")
        paths += found
    for path in paths:
        top = model.get_submodule(path)
        if type(top).forward is nn.Module.forward:
            inner = ", ".join(f"'{path}.{name}'" for name, _ in top.named_children()) or "none"
            raise ConfigError(
                f"`modules_to_save`: '{path}' is a {type(top).__name__}, which is never called itself, so a copy of it "
                f"would not run. Name the modules inside it: {inner}."
            )
        if any(isinstance(module, AdapterLayer) for module in top.modules()):
            raise ConfigError(f"`modules_to_save`: '{path}' carries another adapter; delete that one first.")
    return paths


def wrap_modules(model: nn.Module, adapter: str, paths: list[str]) -> None:
    """Give ``adapter`` its own copy of the modules at these paths."""
    for path in paths:
        module = model.get_submodule(path)
        if not isinstance(module, ModulesToSaveWrapper):
            module = ModulesToSaveWrapper(module).train(module.training)
            replace_module(model, path, module)
        module.add_adapter(adapter)


def _top(model: nn.Module) -> str:
    return ", ".join(name for name, _ in model.named_children())
