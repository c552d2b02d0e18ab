"""A module that adapters train in full, such as a classifier head: one copy for each adapter."""

import copy
from typing import Any

from torch import nn

from shira_lab.errors import AdapterError
from shira_lab.layers.layer import acting_names


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
