"""Mixed batches: another adapter for each sample of a batch, or none, in one pass. For use, not for training.

Each adapted layer runs once for each adapter in the batch, on that adapter's samples, with its entries written into
the weight; everything between the layers runs on the whole batch. PEFT's SHiRA ignores ``adapter_names`` silently.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from shira_lab.adapters.names import BASE
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.errors import AdapterError
from shira_lab.layers import AdapterLayer


@contextmanager
def mixed_batch(model: AdapterModel, adapter_names: Sequence[str], inputs: Sequence[Any]) -> Iterator[None]:
    """Inside, sample i of a batch runs with the adapter ``adapter_names[i]``, or as the base model for "__base__".

    Args:
        inputs: what the model is given, to see how many samples there are.

    Raises:
        AdapterError: when this cannot be honoured: a name that is not there, another number of samples, training mode,
            merged adapters, or an adapter with modules of its own.
    """
    names = _checked(model, adapter_names, inputs)
    wrappers = [wrapper for _, wrapper in model.wrapped_modules()]
    before = [wrapper.disable_adapters for wrapper in wrappers]
    layers: list[AdapterLayer] = [layer for _, layer in model.adapter_layers()]
    try:
        for layer in layers:
            layer.adapter_names = names
        for wrapper in wrappers:
            wrapper.disable_adapters = True
        with torch.no_grad():
            yield
    finally:
        for layer in layers:
            layer.adapter_names = None
        for wrapper, was in zip(wrappers, before, strict=True):
            wrapper.disable_adapters = was


def _checked(model: AdapterModel, adapter_names: Sequence[str], inputs: Sequence[Any]) -> list[str]:
    if isinstance(adapter_names, str):
        raise AdapterError(f"`adapter_names` should be a list, one name for each sample; got {adapter_names!r}.")
    names = list(adapter_names)
    model.check_known(name for name in names if name != BASE)
    samples = next((len(value) for value in inputs if isinstance(value, Tensor) and value.dim() > 0), None)
    if samples is None or samples != len(names):
        raise AdapterError(
            "Length of `adapter_names` should be the same as the number of inputs, but got "
            f"{len(names)} and {samples} respectively."
        )
    if model.training:
        raise AdapterError("Cannot pass `adapter_names` when the model is in training mode; call `model.eval()` first.")
    if any(layer.merged for _, layer in model.adapter_layers()):
        raise AdapterError(
            "Cannot pass `adapter_names` when there are merged adapters, please call `unmerge_adapter` first."
        )
    for name in dict.fromkeys(names):
        if name != BASE and model.peft_config[name].modules_to_save:
            raise AdapterError(
                f"Cannot pass '{name}' in `adapter_names`: it has whole modules of its own, "
                f"{model.peft_config[name].modules_to_save}. Run its samples alone, with `set_adapter('{name}')`."
            )
    return names
