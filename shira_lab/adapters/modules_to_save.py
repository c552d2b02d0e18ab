"""Modules that train in full beside an adapter, such as a fresh classifier head, one copy for each adapter."""

import copy
from typing import Any, TypeVar

from torch import nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.tasks import TASK_HEADS
from shira_lab.adapters.walk import walk
from shira_lab.errors import AdapterError, ConfigError
from shira_lab.layers import AdapterLayer
from shira_lab.layers.layer import acting_names

C = TypeVar("C", bound=AdapterConfig)


class ModulesToSaveWrapper(nn.Module):
    """A module with one trainable copy by adapter; the original is kept untouched.

    Attributes:
        original_module: the module as it was, frozen.
        modules_to_save: the copies by adapter name.
        active_adapter: the adapter whose copy runs, None for the original.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.original_module = module.requires_grad_(False)
        self.modules_to_save = nn.ModuleDict()
        self.active_adapter: str | None = None
        self.disable_adapters = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.chosen()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in ("original_module", "modules_to_save"):
                raise
            return getattr(self.chosen(), name)

    @property
    def active_adapters(self) -> list[str]:
        """The adapter whose copy runs, as a list of one or none."""
        return [] if self.active_adapter is None else [self.active_adapter]

    def chosen(self) -> nn.Module:
        """The module that runs now."""
        names = [] if self.disable_adapters else acting_names(self, self.active_adapters)
        return next((self.modules_to_save[n] for n in names if n in self.modules_to_save), self.original_module)

    def add_adapter(self, name: str) -> None:
        self.modules_to_save[name] = copy.deepcopy(self.original_module).requires_grad_(False)

    def set_adapter(self, names: list[str], inference_mode: bool = False) -> None:
        """Run and train the copy of the one of these adapters that has one."""
        self.active_adapter = next((name for name in names if name in self.modules_to_save), None)
        for name, module in self.modules_to_save.items():
            module.requires_grad_(name == self.active_adapter and not inference_mode)

    def check_active(self, names: list[str]) -> None:
        """Raise :class:`AdapterError` if several of these adapters have a copy: copies do not add up as deltas do."""
        held = [name for name in names if name in self.modules_to_save]
        if len(held) > 1:
            raise AdapterError(
                f"Only one adapter can be set at a time for ModulesToSaveWrapper: {', '.join(held)} each have their "
                "own copy of the module, and only one can run."
            )

    def delete_adapter(self, name: str) -> None:
        if name in self.modules_to_save:
            del self.modules_to_save[name]
            self.active_adapter = None if self.active_adapter == name else self.active_adapter


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
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, module)
        module.add_adapter(adapter)


def _top(model: nn.Module) -> str:
    return ", ".join(name for name, _ in model.named_children())
