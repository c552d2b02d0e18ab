"""Adapters written into the weight of their layer, W' = W + S + B A, and taken out again bit for bit.

Nothing of this takes part in training. What is refused, for a layer or for what is done to all of them, is refused
before anything has changed.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from shira_lab.errors import AdapterError
from shira_lab.layers.deltas import Overlay, entries_with
from shira_lab.layers.shira import Adapter, Delta, plus, version_of
from shira_lab.masks.positions import weight_of


class Mergeable(nn.Module):
    """A base layer and its adapters, some of which may be in its weight.

    Attributes:
        base_layer: the linear layer.
        adapters: the adapters by name, in the order they came.
        active_adapters: names of those that take part in the forward pass, unless disabled or merged.
        merged_adapters: names of those that :meth:`merge` has written into the weight.
        disable_adapters: the layer is the base layer, whatever is active or merged.
        in_place: whether the weight may be written; not where others hold its memory.
    """

    adapters: nn.ModuleDict

    def __init__(self, base_layer: nn.Module, in_place: bool) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.__dict__["adapters"] = nn.ModuleDict()  # no child, or each parameter would have two names: see _parts
        self.active_adapters: list[str] = []
        self.merged_adapters: list[str] = []
        self.disable_adapters = False
        self.in_place = in_place
        self._overlay = Overlay()

    def named_adapters(self) -> Iterator[tuple[str, Adapter]]:
        for name in self.adapters:
            yield name, self.get_adapter(name)

    def get_adapter(self, name: str) -> Adapter:
        """The adapter of this name.

        Raises:
            AdapterError: when the layer has none of this name.
        """
        if name not in self.adapters:
            raise AdapterError(f"This layer has no adapter '{name}'; it has {list(self.adapters)}.")
        adapter = self.adapters[name]
        assert isinstance(adapter, Adapter)
        return adapter

    @property
    def weight(self) -> Tensor:
        """The base layer's weight, with whatever is written into it at the moment."""
        return weight_of(self.base_layer)

    @property
    def merged(self) -> bool:
        return bool(self.merged_adapters)

    def clean_base_layer(self) -> nn.Module:
        """The base layer with its base weight: itself, or a shallow copy while something is written into it."""
        if self._overlay.originals is None:
            return self.base_layer
        return self._base_layer_with(self.base_weight())

    def _base_layer_with(self, weight: Tensor) -> nn.Module:
        """A shallow copy of the base layer with another weight."""
        other = copy.copy(self.base_layer)
        other._parameters = {**self.base_layer._parameters}
        other.weight = nn.Parameter(weight, requires_grad=False)
        return other

    def base_weight(self) -> Tensor:
        """The base weight without any adapter: the weight itself, or a copy while something is written into it."""
        return self._overlay.base(self.weight)

    def merge(self, adapter_names: list[str] | None = None) -> None:
        """Write these adapters (the active ones if None) into the weight until :meth:`unmerge`.

        Raises:
            AdapterError: for a shared weight, or where it would write NaN or infinity; nothing has changed then.
        """
        self.check_mergeable(adapter_names)
        merged = self._with_merged(adapter_names)
        self._overlay.write(self.weight, [self.get_adapter(name).delta() for name in merged])
        self.merged_adapters = merged

    def check_mergeable(self, adapter_names: list[str] | None = None, for_good: bool = False) -> None:
        """Raise what :meth:`merge`, or :meth:`unload` if ``for_good``, would raise, and change nothing."""
        self.check_untouched()
        names = self._with_merged(adapter_names)
        if names and self.base_layer._parameters.get("weight") is None:
            raise AdapterError(
                "This layer computes its weight at each call: it is pruned, normed or parametrized, so what is merged "
                "into it would be lost. Leave the adapter active, or make the weight a parameter first, for instance "
                "with `torch.nn.utils.prune.remove` or `torch.nn.utils.parametrize.remove_parametrizations`."
            )
        if names and not (self._writable() or for_good):
            raise AdapterError(
                "This layer's weight is shared with another module, so an adapter cannot be merged into it without "
                "changing both. Leave the adapter active instead, or use `merge_and_unload`, which gives the layer a "
                "weight of its own."
            )
        _check_finite(self.base_weight(), [self.get_adapter(name).delta() for name in names], names)

    def check_untouched(self) -> None:
        """Raise :class:`AdapterError` when somebody has changed the weight while something was merged into it."""
        if self._overlay.written:
            self._overlay.check_untouched(self.weight)

    def check_cast(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Raise what a cast or move of all tensors by ``fn`` would raise, and change nothing."""
        self.check_untouched()
        if self.merged and fn(self.weight.new_empty(0)).dtype != self.weight.dtype:
            deltas = [self.get_adapter(name).delta() for name in self.merged_adapters]
            cast = [replace(delta, values=fn(delta.values).to(self.weight.device)) for delta in deltas]
            _check_finite(fn(self.base_weight()).to(self.weight.device), cast, self.merged_adapters)

    def _writable(self) -> bool:
        return self.in_place and self.weight.is_contiguous()

    def unmerge(self) -> None:
        """Undo :meth:`merge`, bit for bit."""
        self.merged_adapters = []
        if self._overlay.originals is not None:
            self._overlay.restore(self.weight)

    def unload(self, merge: bool = False) -> nn.Module:
        """The bare base layer: as it was, or with the active adapters merged into it for good."""
        deltas = [self.get_adapter(name).delta() for name in self._with_merged(None)] if merge else []
        if deltas and self._writable():
            self.merge()
            self._overlay.forget()
            return self.base_layer
        self.unmerge()
        return self._base_layer_with(plus(self.weight, deltas)) if deltas else self.base_layer

    def sync(self) -> None:
        """Bring a merged weight up to date: it holds the merged adapters, or none while adapters are disabled."""
        names = [] if self.disable_adapters else self.merged_adapters
        self._overlay.write(self.weight, [self.get_adapter(name).delta() for name in names])

    def _with_merged(self, adapter_names: list[str] | None) -> list[str]:
        """The adapters that are merged when these (the active ones if None) are merged too."""
        names = self.active_adapters if adapter_names is None else adapter_names
        new = [name for name in names if name in self.adapters and name not in self.merged_adapters]
        return self.merged_adapters + new

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Casts and moves see the base weight, and what was merged is merged again afterwards."""
        self.check_cast(fn)
        merged = self.merged_adapters
        self.unmerge()
        super()._apply(fn, recurse)
        if merged:
            self.merge(merged)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.unmerge()  # what is loaded becomes the base weight
        super()._load_from_state_dict(*args, **kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.merged:
            self._overlay.version = version_of(self.weight)  # of the copy, which counts from here


def _check_finite(weight: Tensor, deltas: Sequence[Delta], names: Sequence[str]) -> None:
    if deltas and not bool(torch.isfinite(entries_with(weight, deltas)[1]).all()):
        raise AdapterError(
            f"NaNs detected in the merged weights. The adapter {', '.join(names)} seems to be broken: with it, "
            "weights are NaN or infinite. Nothing was merged."
        )
