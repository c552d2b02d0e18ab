"""The frame around a linear layer that carries adapters: which are active, which are merged, and what the weight holds.

SHiRA and LoRA adapters sit side by side in it and answer the same questions. The base layer stays what it is, hooks
included; when no adapter is active its weight is the pretrained one bit for bit.
"""

import copy
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from shira_lab.errors import AdapterError
from shira_lab.layers.holder import Adapter, AdapterHolder
from shira_lab.layers.lora import LoraAdapter
from shira_lab.layers.overlay import Backward, Delta, Overlay, with_deltas
from shira_lab.layers.shira import ShiraAdapter


class AdapterLayer(AdapterHolder):
    """A linear layer with adapters.

    Args:
        base_layer: ``nn.Linear`` or transformers' ``Conv1D``.
        in_place: whether deltas may be written into the base weight; not for a weight that other modules share.

    Attributes, beside those of :class:`~shira_lab.layers.holder.AdapterHolder`:
        active_adapters: names of those that take part in the forward pass, unless disabled or merged.
        merged_adapters: names of those that :meth:`merge` has written into the weight.
    """

    def __init__(self, base_layer: nn.Module, in_place: bool = True) -> None:
        super().__init__(base_layer)
        self.active_adapters: list[str] = []
        self.merged_adapters: list[str] = []
        self.disable_adapters = False
        self.adapter_names: list[str] | None = None  # inside a mixed batch: the adapter of each sample
        self.frozen = False  # see freeze
        self._in_place = in_place and self.weight.is_contiguous()
        self._overlay = Overlay()
        self.register_state_dict_post_hook(_show_base_weight)

    @property
    def merged(self) -> bool:
        return bool(self.merged_adapters)

    # ---- adapters come, act and go ----------------------------------------------------------------------------------

    def add_adapter(self, name: str, adapter: Adapter) -> None:
        """Take in a new adapter; it neither acts nor trains until :meth:`set_adapter`."""
        if isinstance(adapter, ShiraAdapter):
            adapter.share_positions(other for _, other in self.named_adapters() if isinstance(other, ShiraAdapter))
        self.adapters[name] = adapter.requires_grad_(False).train(self.training)

    def set_adapter(self, names: str | Iterable[str], inference_mode: bool = False) -> None:
        """Activate these adapters, where the layer has them; only they train, and none in ``inference_mode``."""
        names = [names] if isinstance(names, str) else list(names)
        self.active_adapters = [name for name in names if name in self.adapters]
        for name, adapter in self.named_adapters():
            adapter.requires_grad_(name in self.active_adapters and not inference_mode)

    def set_scale(self, adapter: str, scale: float) -> None:
        """Scale this adapter's update, also where it is merged; see :meth:`AdapterHolder.set_scale`."""
        super().set_scale(adapter, scale)
        if adapter in self.merged_adapters:
            self.merge([])

    def delete_adapter(self, name: str) -> None:
        """Forget the adapter. Merged or not, nothing of it stays in the weight."""
        if name in self.adapters:
            if name in self.merged_adapters:
                self._overlay.restore(self.weight)
            self.merged_adapters = [n for n in self.merged_adapters if n != name]
            self.active_adapters = [n for n in self.active_adapters if n != name]
            del self.adapters[name]
            self.sync()

    def set_positions(self, name: str, positions: Tensor) -> None:
        """Move a SHiRA adapter to other positions; see :meth:`ShiraAdapter.set_positions`.

        Raises:
            AdapterError: when the adapter is no SHiRA adapter, or the number of positions differs.
        """
        self.check_same_size(name, positions.numel())
        adapter = self.get_adapter(name)
        assert isinstance(adapter, ShiraAdapter)
        adapter.set_positions(positions.to(adapter.positions.device))

    def check_same_size(self, name: str, k: int) -> None:
        """Raise what :meth:`set_positions` would raise for ``k`` positions, and change nothing."""
        adapter = self.get_adapter(name)
        if not isinstance(adapter, ShiraAdapter):
            raise AdapterError(f"Adapter '{name}' is a LoRA adapter; only SHiRA adapters have a mask.")
        if k != adapter.positions.numel():
            raise AdapterError(
                f"The new mask has {k:,} positions; adapter '{name}' has {adapter.positions.numel():,} values. "
                "Keep r, or add a new adapter."
            )

    def clean_base_layer(self) -> nn.Module:
        """The base layer with its base weight: itself, or a shallow copy while something is written into it."""
        if self._overlay.originals is None:
            return self.base_layer
        clean = copy.copy(self.base_layer)
        clean._parameters = {**self.base_layer._parameters}
        clean.weight = nn.Parameter(self.base_weight(), requires_grad=False)
        return clean

    def base_weight(self) -> Tensor:
        """The base weight without any adapter: the weight itself, or a copy while something is written into it."""
        return self._overlay.base(self.weight)

    def merge(self, adapter_names: list[str] | None = None) -> None:
        """Write these adapters (the active ones if None) into the weight until :meth:`unmerge`.

        Raises:
            AdapterError: when the weight is shared, or the result would hold NaN or infinite values; nothing has
            changed then.
        """
        self.check_mergeable(adapter_names)
        merged = self._with_merged(adapter_names)
        self._overlay.backwards.clear()  # a backward pass that needs the weight as it was will be told so by autograd
        self._overlay.write(self.weight, [self.get_adapter(name).delta() for name in merged])
        self.merged_adapters = merged

    def check_mergeable(self, adapter_names: list[str] | None = None, for_good: bool = False) -> None:
        """Raise what :meth:`merge`, or :meth:`unload` if ``for_good``, would raise, and change nothing."""
        names = self._with_merged(adapter_names)
        if names and not (self._in_place or for_good):
            raise AdapterError(
                "This layer's weight is shared with another module, so an adapter cannot be merged into it without "
                "changing both. Leave the adapter active instead, or use `merge_and_unload`, which gives the layer a "
                "weight of its own."
            )
        deltas = [self.get_adapter(name).delta() for name in names]
        if not bool(torch.isfinite(with_deltas(self.base_weight(), deltas)).all()):
            raise AdapterError(
                f"NaNs detected in the merged weights. The adapter {', '.join(names)} seems to be broken: with it, "
                "weights are NaN or infinite. Nothing was merged."
            )

    def unmerge(self) -> None:
        """Undo :meth:`merge`, bit for bit."""
        self.merged_adapters = []
        self._overlay.restore(self.weight)

    def unload(self, merge: bool = False) -> nn.Module:
        """The bare base layer: as it was, or with the active adapters merged into it for good."""
        if merge and not self._in_place:
            weight = with_deltas(self.weight.detach(), [self.get_adapter(n).delta() for n in self.active_adapters])
            self.base_layer.weight = nn.Parameter(weight, requires_grad=False)
        elif merge:
            self.merge()
            self._overlay.forget()
        else:
            self.unmerge()
        return self.base_layer

    def leave_weight_alone(self) -> None:
        """From now on make a weight with the deltas in it for each call, instead of writing into the layer's own.

        FSDP needs this: it puts the weight together anew at every call, and what was written into it is gone.
        """
        self.unmerge()
        self._in_place = False

    # ---- the forward pass -------------------------------------------------------------------------------------------

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The base layer with the active adapters, x of shape (..., in_features)."""
        if self.frozen:
            return self.base_layer(x, *args, **kwargs)
        if self.adapter_names is not None and not self.disable_adapters:
            return self._mixed(x, self.adapter_names, *args, **kwargs)
        call = self.base_layer if self.sync() else partial(self._apart, self._wanted())
        output: Tensor = call(x, *args, **kwargs)
        for adapter in self._acting():
            if isinstance(adapter, LoraAdapter):
                output = adapter.add_to(output, x)
            elif torch.is_grad_enabled() and adapter.shira_weight.requires_grad:
                backward = Backward()
                self._overlay.backwards.add(backward)
                output = adapter.tap(output, x, backward)
        return output

    def freeze(self) -> None:
        """Inside ``generate``: where the weight holds all there is to add, run the base layer and look no further."""
        self.frozen = self.sync() and not any(isinstance(adapter, LoraAdapter) for adapter in self._acting())

    def sync(self) -> bool:
        """Bring the weight up to date with the active or merged adapters; False if it must not be touched now."""
        if self.merged and self._overlay.written and not self.disable_adapters:
            return True  # merging is a promise that the weight stays until unmerge
        wanted = self._wanted()
        if not self._in_place:
            return not wanted
        return self._overlay.write(self.weight, wanted)

    def _mixed(self, x: Tensor, names: list[str], *args: Any, **kwargs: Any) -> Tensor:
        """Each sample with its own adapter. Models that fold tokens or beams into the samples keep a sample's rows
        together."""
        if x.shape[0] % len(names):
            raise AdapterError(
                f"A layer was given {x.shape[0]} rows for a batch of {len(names)} samples, so it cannot tell whose "
                "they are: this model cannot run mixed batches. Run each adapter's samples alone."
            )
        owner = [name for name in names for _ in range(x.shape[0] // len(names))]
        parts: dict[str, Tensor] = {}
        for name in dict.fromkeys(owner):
            adapter = self.get_adapter(name) if name in self.adapters else None
            rows = x[torch.tensor([other == name for other in owner], device=x.device)]
            deltas = [adapter.delta()] if isinstance(adapter, ShiraAdapter) else []
            if self._in_place and self._overlay.write(self.weight, deltas):
                part = self.base_layer(rows, *args, **kwargs)
            else:
                part = self._apart(deltas, rows, *args, **kwargs)
            parts[name] = adapter.add_to(part, rows) if isinstance(adapter, LoraAdapter) else part
        first = next(iter(parts.values()))
        output = first.new_empty(x.shape[0], *first.shape[1:])
        for name, part in parts.items():
            output[torch.tensor([other == name for other in owner], device=x.device)] = part
        return output

    def _apart(self, deltas: list[Delta], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The base layer with another weight for this call, where its own must stay as it is."""
        weight = with_deltas(self.base_weight(), deltas)
        output: Tensor = functional_call(self.base_layer, {"weight": weight}, (x, *args), kwargs)
        return output

    def _wanted(self) -> list[Delta]:
        """What the weight should hold beyond its base."""
        if self.disable_adapters:
            return []
        if self.merged:
            return [self.get_adapter(name).delta() for name in self.merged_adapters]
        return [a.delta() for a in self._acting() if isinstance(a, ShiraAdapter)]

    def _acting(self) -> list[Adapter]:
        """The adapters that take part in the forward pass beside the weight."""
        return [] if self.disable_adapters or self.merged else [self.get_adapter(name) for name in self.active_adapters]

    def _with_merged(self, adapter_names: list[str] | None) -> list[str]:
        """The adapters that are merged when these (the active ones if None) are merged too."""
        names = self.active_adapters if adapter_names is None else adapter_names
        new = [name for name in names if name in self.adapters and name not in self.merged_adapters]
        return self.merged_adapters + new

    # ---- moving, copying, storing -----------------------------------------------------------------------------------

    def _apply(self, fn: Any, recurse: bool = True) -> "AdapterLayer":
        """Casts and moves see the base weight, and the adapters are written again afterwards."""
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
        self._overlay.adopt(self.weight)


def _show_base_weight(layer: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """``state_dict()`` shows the base weight, whatever is written into it at the moment."""
    assert isinstance(layer, AdapterLayer)
    key = f"{prefix}base_layer.weight"
    if key in state and layer._overlay.originals is not None:
        state[key] = layer.base_weight()
