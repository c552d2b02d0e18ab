"""Weights in memory that a model holds under several names, such as an output layer tied to the embedding."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from shira_lab.adapters.tree import adapter_layers


def mark_shared(model: nn.Module) -> None:
    """Let each adapted layer know whether its weight may be written: not where the model holds the memory twice."""
    shared = shared_weights(model)
    for path, layer in adapter_layers(model):
        layer.in_place = f"{path}.base_layer.weight" not in shared


def shared_weights(model: nn.Module) -> set[str]:
    """The paths of the parameters, buffers and other tensors of modules whose memory overlaps that of another.

    Tensors may share memory without being one object: a parameter made of a parameter, an assignment to ``.data``, a
    transposed weight, a slice of a fused one. Compared are the stretches from the first entry to the last.
    """
    shared: set[str] = set()
    group: list[str] = []
    where, end = None, 0
    for memory, start, stop, path in sorted(_stretches(model)):
        if memory != where or start >= end:
            group, where, end = [], memory, start
        group.append(path)
        end = max(end, stop)
        if len(group) > 1:
            shared.update(group)
    return shared


def _stretches(model: nn.Module) -> Iterator[tuple[int, int, int, str]]:
    """(storage, first byte, last byte + 1, path) of each tensor; a module under two names comes twice."""
    for path, module in model.named_modules(remove_duplicate=False):
        for name, tensor in (*module._parameters.items(), *module._buffers.items(), *vars(module).items()):
            if isinstance(tensor, Tensor):
                yield *_stretch(tensor), f"{path}.{name}"


def _stretch(tensor: Tensor) -> tuple[int, int, int]:
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.is_meta or tensor.layout is not torch.strided:
        return id(tensor), 0, 1  # it has no memory of the ordinary kind: it is shared where it is the same object
    first = int(tensor.storage_offset())
    last = first + sum(int((size - 1) * stride) for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    size = tensor.element_size() if tensor.numel() else 0
    return tensor.untyped_storage().data_ptr(), first * size, (last + 1) * size
