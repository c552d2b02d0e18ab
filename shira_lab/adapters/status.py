"""What the adapters of a model are doing, layer by layer and as a whole, under PEFT's names."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from shira_lab.adapters.model import PeftModel
from shira_lab.errors import AdapterError, expect
from shira_lab.layers import AdapterLayer
from shira_lab.layers.modules_to_save import ModulesToSaveWrapper


@dataclass
class LayerStatus:
    """One module that carries adapters; ``requires_grad`` and ``devices`` are by adapter name."""

    name: str
    module_type: str
    enabled: bool
    active_adapters: list[str]
    merged_adapters: list[str]
    requires_grad: dict[str, Any]
    available_adapters: list[str]
    devices: dict[str, list[str]]


@dataclass
class ModelStatus:
    """All of a model's layers together; "irregular" where they differ."""

    base_model_type: str
    adapter_model_type: str
    peft_types: dict[str, str]
    trainable_params: int
    total_params: int
    num_adapter_layers: int
    enabled: Any
    active_adapters: Any
    merged_adapters: Any
    requires_grad: dict[str, Any]
    available_adapters: list[str]
    devices: dict[str, list[str]]


def get_layer_status(model: nn.Module) -> list[LayerStatus]:
    """The status of each module of ``model``, a PeftModel or one with injected adapters, that carries any.

    >>> from shira_lab import ShiraConfig, get_peft_model
    >>> model = get_peft_model(nn.Sequential(nn.Linear(8, 8)), ShiraConfig(r=1, target_modules=["0"]))
    >>> [(layer.name, layer.enabled, layer.active_adapters) for layer in get_layer_status(model)]
    [('model.0', True, ['default'])]

    Raises:
        AdapterError: when there is none.
    """
    expect(model, nn.Module, "model", "a torch.nn.Module", AdapterError)
    found = []
    for name, module in (model.base_model if isinstance(model, PeftModel) else model).named_modules():
        if not isinstance(module, AdapterLayer | ModulesToSaveWrapper):
            continue
        adapters = module.adapters if isinstance(module, AdapterLayer) else module.modules_to_save
        parameters = {key: list(adapter.parameters()) for key, adapter in adapters.items()}
        found.append(
            LayerStatus(
                name=name,
                module_type=type(module).__name__,
                enabled=not module.disable_adapters,
                active_adapters=module.active_adapters,
                merged_adapters=module.merged_adapters if isinstance(module, AdapterLayer) else [],
                requires_grad={key: _common(p.requires_grad for p in own) for key, own in parameters.items()},
                available_adapters=sorted(parameters),
                devices={key: sorted({p.device.type for p in own}) for key, own in parameters.items()},
            )
        )
    if not found:
        raise AdapterError("No adapter layers found in the model: pass a PeftModel, or one with injected adapters.")
    return found


def get_model_status(model: nn.Module) -> ModelStatus:
    """The status of the model as a whole; raises as :func:`get_layer_status`.

    >>> from shira_lab import ShiraConfig, get_peft_model
    >>> model = get_peft_model(nn.Sequential(nn.Linear(8, 8)), ShiraConfig(r=1, target_modules=["0"]))
    >>> get_model_status(model).trainable_params
    16
    """
    layers = get_layer_status(model)
    parameters = list(model.parameters())
    names = sorted({name for layer in layers for name in layer.available_adapters})

    def those_in(field: str) -> Any:
        """The adapters that this list has in each layer that carries them, or "irregular"."""
        there = {n: _common(n in getattr(s, field) for s in layers if n in s.available_adapters) for n in names}
        return "irregular" if "irregular" in there.values() else [name for name in names if there[name]]

    return ModelStatus(
        base_model_type=type(model.get_base_model() if isinstance(model, PeftModel) else model).__name__,
        adapter_model_type="AdapterModel" if isinstance(model, PeftModel) else "None",
        peft_types={name: config.peft_type for name, config in getattr(model, "peft_config", {}).items()},
        trainable_params=sum(p.numel() for p in parameters if p.requires_grad),
        total_params=sum(p.numel() for p in parameters),
        num_adapter_layers=len(layers),
        enabled=_common(layer.enabled for layer in layers),
        active_adapters=those_in("active_adapters"),
        merged_adapters=those_in("merged_adapters"),
        requires_grad={n: _common(s.requires_grad[n] for s in layers if n in s.requires_grad) for n in names},
        available_adapters=names,
        devices={n: sorted({d for s in layers for d in s.devices.get(n, [])}) for n in names},
    )


def _common(values: Iterable[Any]) -> Any:
    """The value that all of them are, or "irregular"."""
    first, *others = values
    return first if all(other == first for other in others) else "irregular"
