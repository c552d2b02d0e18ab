"""A model and the adapter layers in it, to be walked through and switched on and off.

It knows layers and no configs, which :mod:`shira_lab.adapters.tuner` adds. It is all that there is of a model whose
adapters were put into it by :func:`~shira_lab.adapters.inject.inject_adapter_in_model`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from shira_lab.adapters.modules_to_save import ModulesToSaveWrapper
from shira_lab.adapters.walk import walk
from shira_lab.errors import AdapterError
from shira_lab.layers import AdapterLayer


class AdapterTree(nn.Module):
    """A model, some of whose modules are :class:`~shira_lab.layers.AdapterLayer` or :class:`ModulesToSaveWrapper`.

    Attributes:
        model: the user's model.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's output, and the last hidden state of a language model beside it.

        In transformers ``base_model`` is the backbone of a model. A trainer that computes the loss from hidden states,
        as TRL's do, calls it for this one.
        """
        if not hasattr(self.model, "base_model_prefix"):
            return self.model(*args, **kwargs)
        output = self.model(*args, **{"output_hidden_states": True, **kwargs})
        states = output.get("hidden_states") if isinstance(output, Mapping) else None
        if states and "last_hidden_state" not in output:
            output["last_hidden_state"] = states[-1]
        return output

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model":
                raise
            return getattr(self.model, name)

    def adapter_layers(self) -> Iterator[tuple[str, AdapterLayer]]:
        """(path, layer) of all adapted layers."""
        for path, module in self._walk():
            if isinstance(module, AdapterLayer):
                yield path, module

    def wrapped_modules(self) -> list[tuple[str, ModulesToSaveWrapper]]:
        """(path, wrapper) of all modules of which adapters have a copy."""
        return [(path, module) for path, module in self._walk() if isinstance(module, ModulesToSaveWrapper)]

    def base_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """(path, module) of the model, adapted layers shown as the base layers that they were."""
        for path, module in self._walk():
            yield path, module.clean_base_layer() if isinstance(module, AdapterLayer) else module

    def enable_adapter_layers(self) -> None:
        """Undo :meth:`disable_adapter_layers`."""
        for module in self.switched():
            _switch(module, disable=False)

    def disable_adapter_layers(self) -> None:
        """From here on the model is the base model; base weights are back in place, bit for bit."""
        self.ask_all(AdapterLayer.check_untouched)
        for module in self.switched():
            module.disable_adapters = True
            if isinstance(module, AdapterLayer) and module.merged:
                module.sync()

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Inside, the model is the base model, see :meth:`disable_adapter_layers`; then each layer is as before."""
        self.ask_all(AdapterLayer.check_untouched)
        switched = self.switched()
        before = [module.disable_adapters for module in switched]
        try:
            self.disable_adapter_layers()
            yield
        finally:
            for module, was in zip(switched, before, strict=True):
                _switch(module, disable=was)

    def ask_all(self, check: Callable[[AdapterLayer], None]) -> None:
        """Raise the first :class:`AdapterError` that ``check`` raises for a layer, before any layer is changed."""
        for path, layer in self.adapter_layers():
            try:
                check(layer)
            except AdapterError as error:
                raise AdapterError(f"Layer '{path}': {error}") from None

    def _apply(self, fn: Any, recurse: bool = True) -> "AdapterTree":
        """Cast and move all layers, or none where one of them cannot hold what is merged into it."""
        self.ask_all(lambda layer: layer.check_cast(fn))
        super()._apply(fn, recurse)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.ask_all(AdapterLayer.check_untouched)  # PyTorch loads the layers after this
        super()._load_from_state_dict(*args, **kwargs)

    def _walk(self) -> Iterator[tuple[str, nn.Module]]:
        return walk(self.model, stop_at=(AdapterLayer, ModulesToSaveWrapper))

    def switched(self) -> list[AdapterLayer | ModulesToSaveWrapper]:
        return [m for m in self.model.modules() if isinstance(m, AdapterLayer | ModulesToSaveWrapper)]


def _switch(module: AdapterLayer | ModulesToSaveWrapper, disable: bool) -> None:
    module.disable_adapters = disable
    if isinstance(module, AdapterLayer) and module.merged:
        module.sync()  # what is merged is in the weight, whether or not the layer runs
