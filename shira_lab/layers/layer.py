"""A linear layer that carries adapters: which are active, which are merged.

    y = x (W + S)^T + b + scaling * B A x        S: the active SHiRA adapters, B A: the active LoRA adapters

The base layer stays what it is. Its weight is W, bit for bit, until somebody asks for :meth:`AdapterLayer.merge`: what
an active adapter adds is computed beside it; see :mod:`shira_lab.layers.product`.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.errors import AdapterError
from shira_lab.layers.deltas import Overlay, with_deltas
from shira_lab.layers.lora import LoraAdapter
from shira_lab.layers.product import product
from shira_lab.layers.shira import ShiraAdapter
from shira_lab.layers.shira_weights import ShiraWeights
from shira_lab.masks.positions import is_conv1d, shape_of, weight_of

Adapter = ShiraAdapter | LoraAdapter


class AdapterLayer(nn.Module):
    """A linear layer with adapters.

    Args:
        base_layer: ``nn.Linear`` or transformers' ``Conv1D``.
        in_place: whether adapters may be merged into the base weight; not where other modules share it.

    Attributes:
        base_layer: the linear layer, unchanged.
        adapters: the adapters by name, in the order they came.
        in_features, out_features: sizes of the layer's input and output.
        fan_in_fan_out: the weight is stored as (in, out).
        active_adapters: names of those that take part in the forward pass, unless disabled or merged.
        merged_adapters: names of those that :meth:`merge` has written into the weight.
    """

    def __init__(self, base_layer: nn.Module, in_place: bool = True) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.adapters = nn.ModuleDict()
        m, n = shape_of(base_layer)
        self.fan_in_fan_out = is_conv1d(base_layer)
        self.in_features, self.out_features = (m, n) if self.fan_in_fan_out else (n, m)
        self.active_adapters: list[str] = []
        self.merged_adapters: list[str] = []
        self.disable_adapters = False
        self.adapter_names: list[str] | None = None  # inside a mixed batch: the adapter of each sample
        self._in_place = in_place and self.weight.is_contiguous()
        self._overlay = Overlay()

    # ---- adapters come, act and go ----------------------------------------------------------------------------------

    def add_adapter(self, name: str, adapter: Adapter) -> None:
        """Take in a new adapter; it neither acts nor trains until :meth:`set_adapter`."""
        if isinstance(adapter, ShiraAdapter):
            adapter.share_positions(other for _, other in self.named_adapters() if isinstance(other, ShiraAdapter))
        self.adapters[name] = adapter.requires_grad_(False).train(self.training)

    def set_adapter(self, names: str | Iterable[str], inference_mode: bool = False) -> None:
        """Activate these adapters, where the layer has them; only they train, and none in ``inference_mode``. What was
        merged is taken out of the weight."""
        names = [names] if isinstance(names, str) else list(names)
        self.unmerge()
        self.active_adapters = [name for name in names if name in self.adapters]
        for name, adapter in self.named_adapters():
            adapter.requires_grad_(name in self.active_adapters and not inference_mode)

    def set_scale(self, adapter: str, scale: float) -> None:
        """Scale this adapter's update, 1 being as trained, also where it is merged; a layer that does not carry the
        adapter ignores the call."""
        if adapter in self.adapters:
            self.get_adapter(adapter).scale = float(scale)
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
            if self.merged:
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
        if self.merged:
            self.sync()

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
        if self._overlay.originals is not None:
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

    # ---- the forward pass -------------------------------------------------------------------------------------------

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The base layer with the active adapters, x of shape (..., in_features)."""
        if self.merged:
            self._overlay.check_untouched(self.weight)
            if self._overlay.holds is not (not self.disable_adapters):  # switched off or on since, or interrupted
                self.sync()
        if self.adapter_names is not None and not self.disable_adapters:
            return self._mixed(x, self.adapter_names, *args, **kwargs)
        acting = self._acting()
        return self._with(acting, x, *args, **kwargs)

    def _with(self, acting: list[Adapter], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The base layer with these adapters."""
        output = product(self.base_layer, [a for a in acting if isinstance(a, ShiraAdapter)], x, *args, **kwargs)
        for adapter in acting:
            if isinstance(adapter, LoraAdapter):
                output = adapter.add_to(output, x)
        return output

    def sync(self) -> None:
        """Bring a merged weight up to date: it holds the merged adapters, or none while adapters are disabled."""
        names = [] if self.disable_adapters else self.merged_adapters
        self._overlay.write(self.weight, [self.get_adapter(name).delta() for name in names])

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
            rows = x[torch.tensor([other == name for other in owner], device=x.device)]
            parts[name] = self._with([self.get_adapter(name)] if name in self.adapters else [], rows, *args, **kwargs)
        first = next(iter(parts.values()))
        output = first.new_empty(x.shape[0], *first.shape[1:])
        for name, part in parts.items():
            output[torch.tensor([other == name for other in owner], device=x.device)] = part
        return output

    def _acting(self) -> list[Adapter]:
        """The adapters that take part in the forward pass and are not in the weight."""
        names = [] if self.disable_adapters else self.active_adapters
        return [self.get_adapter(name) for name in names if name not in self.merged_adapters]

    def _with_merged(self, adapter_names: list[str] | None) -> list[str]:
        """The adapters that are merged when these (the active ones if None) are merged too."""
        names = self.active_adapters if adapter_names is None else adapter_names
        new = [name for name in names if name in self.adapters and name not in self.merged_adapters]
        return self.merged_adapters + new

    # ---- what hangs on the layer, under PEFT's names ----------------------------------------------------------------

    def get_base_layer(self) -> nn.Module:
        return self.base_layer

    @property
    def weight(self) -> Tensor:
        """The base layer's weight, with whatever is written into it at the moment."""
        return weight_of(self.base_layer)

    @property
    def bias(self) -> Tensor | None:
        bias = self.base_layer.bias
        assert bias is None or isinstance(bias, Tensor)
        return bias

    @property
    def r(self) -> dict[str, int]:
        return {name: adapter.r for name, adapter in self.named_adapters()}

    @property
    def scaling(self) -> Mapping[str, float]:
        """The factor of each adapter's delta, read-only: :meth:`set_scale` changes it."""
        return MappingProxyType({name: adapter.scaling for name, adapter in self.named_adapters()})

    @property
    def shira_weight(self) -> ShiraWeights:
        """Values (k,) by adapter name; assigning a tensor replaces them."""
        return ShiraWeights(self)

    @property
    def shira_indices(self) -> dict[str, Tensor]:
        """Rows and columns (2, k) by adapter name, int32."""
        return {name: a.shira_indices for name, a in self.named_adapters() if isinstance(a, ShiraAdapter)}

    @property
    def lora_A(self) -> dict[str, nn.Linear]:
        return {name: a.lora_A for name, a in self.named_adapters() if isinstance(a, LoraAdapter)}

    @property
    def lora_B(self) -> dict[str, nn.Linear]:
        return {name: a.lora_B for name, a in self.named_adapters() if isinstance(a, LoraAdapter)}

    def get_delta_weight(self, adapter: str) -> Tensor:
        """The dense update scaling * S or scaling * B A of this adapter, in the shape of the base weight."""
        return self.get_adapter(adapter).delta_weight()

    delta_weight = get_delta_weight

    @property
    def merged(self) -> bool:
        return bool(self.merged_adapters)

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
        assert isinstance(adapter, ShiraAdapter | LoraAdapter)
        return adapter

    # ---- moving, copying, storing -----------------------------------------------------------------------------------

    def _apply(self, fn: Any, recurse: bool = True) -> "AdapterLayer":
        """Casts and moves see the base weight, and what was merged is merged again afterwards."""
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
            self._overlay.adopt(self.weight)
