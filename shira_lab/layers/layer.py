"""A linear layer that carries adapters: which are active, which are merged.

    y = x (W + S)^T + b + scaling * x A^T B^T        S: the active SHiRA adapters; A, B: LoRA's, or another update

The base layer stays what it is. Its weight is W, bit for bit, until somebody asks for :meth:`AdapterLayer.merge`: what
an active adapter adds is computed without writing to it; see :mod:`shira_lab.layers.product`.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from shira_lab.errors import AdapterError
from shira_lab.layers.merging import Mergeable
from shira_lab.layers.moments import moments
from shira_lab.layers.product import product
from shira_lab.layers.shira import Adapter, ShiraAdapter
from shira_lab.layers.shira_weights import ShiraWeights
from shira_lab.masks.positions import is_conv1d, shape_of


class AdapterLayer(Mergeable):
    """A linear layer with adapters.

    >>> from shira_lab import ShiraConfig, inject_adapter_in_model
    >>> layer = inject_adapter_in_model(ShiraConfig(r=1, target_modules=["0"]), nn.Sequential(nn.Linear(3, 2)))[0]
    >>> layer.r, layer.get_delta_weight("default").shape
    ({'default': 1}, torch.Size([2, 3]))

    Args:
        base_layer: ``nn.Linear`` or transformers' ``Conv1D``.
        in_place: whether adapters may be merged into the base weight; not where others hold its memory.

    Attributes, beside those of :class:`~shira_lab.layers.merging.Mergeable`:
        in_features, out_features: sizes of the layer's input and output.
        fan_in_fan_out: the weight is stored as (in, out).
    """

    def __init__(self, base_layer: nn.Module, in_place: bool = True) -> None:
        super().__init__(base_layer, in_place)
        m, n = shape_of(base_layer)
        self.fan_in_fan_out = is_conv1d(base_layer)
        self.in_features, self.out_features = (m, n) if self.fan_in_fan_out else (n, m)

    # ---- adapters come, act and go ----------------------------------------------------------------------------------

    def add_adapter(self, name: str, adapter: Adapter) -> None:
        """Take in a new adapter; it neither acts nor trains until :meth:`set_adapter`."""
        if isinstance(adapter, ShiraAdapter):
            adapter.share_positions(other for _, other in self.named_adapters() if isinstance(other, ShiraAdapter))
        adapter.enter(self.base_weight)
        self.adapters[name] = adapter.requires_grad_(False).train(self.training)
        for part, module in _parts(adapter).items():
            if part not in self._modules:
                self.add_module(part, nn.ModuleDict())
            self.get_submodule(part).add_module(name, module)

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
        if adapter not in self.adapters:
            return
        before = self.get_adapter(adapter).scale
        self.get_adapter(adapter).scale = float(scale)
        if adapter in self.merged_adapters:
            try:
                self.merge([])
            except AdapterError:
                self.get_adapter(adapter).scale = before
                raise

    def delete_adapter(self, name: str) -> None:
        """Forget the adapter. Merged or not, nothing of it stays in the weight."""
        if name in self.adapters:
            if name in self.merged_adapters:
                self._overlay.restore(self.weight)
            self.merged_adapters = [n for n in self.merged_adapters if n != name]
            self.active_adapters = [n for n in self.active_adapters if n != name]
            for part in _parts(self.get_adapter(name)):  # some may be gone: an interrupted call is made again
                self.get_submodule(part)._modules.pop(name, None)
            del self.adapters[name]
            if self.merged:
                self.sync()

    def set_positions(self, name: str, positions: Tensor) -> None:
        """Move a SHiRA adapter to other positions; see :meth:`ShiraAdapter.set_positions`.

        Raises:
            AdapterError: when the adapter is no SHiRA adapter, the number of positions differs, or an optimizer
                remembers what cannot move.
        """
        self.check_positions(name, positions.numel())
        adapter = self.get_adapter(name)
        assert isinstance(adapter, ShiraAdapter)
        adapter.set_positions(positions.to(adapter.positions.device))
        if self.merged:
            self.sync()

    def check_positions(self, name: str, k: int) -> None:
        """Raise what :meth:`set_positions` would raise for ``k`` positions, and change nothing."""
        adapter = self.get_adapter(name)
        if not isinstance(adapter, ShiraAdapter):
            raise AdapterError(f"Adapter '{name}' is a {adapter.kind} adapter; only SHiRA adapters have a mask.")
        if k != adapter.positions.numel():
            raise AdapterError(
                f"The new mask has {k:,} positions; adapter '{name}' has {adapter.positions.numel():,} values. "
                "Keep r, or add a new adapter."
            )
        list(moments(adapter.shira_weight))

    # ---- the forward pass -------------------------------------------------------------------------------------------

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The base layer with the active adapters, x of shape (..., in_features)."""
        if self.merged_adapters:
            self.check_untouched()
            if self._overlay.holds in (self.disable_adapters, None):  # switched on or off since; None: interrupted
                self.sync()
        names = [] if self.disable_adapters else acting_names(self, self.active_adapters)
        acting = [self.adapters[n] for n in names if n in self.adapters and n not in self.merged_adapters]
        output = product(self.base_layer, [a for a in acting if isinstance(a, ShiraAdapter)], x, *args, **kwargs)
        for adapter in acting:
            if isinstance(adapter, Adapter) and not isinstance(adapter, ShiraAdapter):
                output = adapter.add_to(output, x)
        return output

    # ---- what hangs on the layer, under PEFT's names ----------------------------------------------------------------

    def get_base_layer(self) -> nn.Module:
        return self.base_layer

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

    def get_delta_weight(self, adapter: str) -> Tensor:
        """The dense update of this adapter, such as scaling * S or scaling * B A, in the shape of the base weight."""
        return self.get_adapter(adapter).delta_weight()

    delta_weight = get_delta_weight


def _parts(adapter: Adapter) -> dict[str, nn.Module]:
    """The modules that a layer has of this adapter."""
    return {adapter.part: adapter} if adapter.part else dict(adapter.named_children())


class _Here(threading.local):
    """The adapters that act in the calls of this thread, by module, in place of those that are active for all threads.

    Compiled code does not look here: see ``torch.compiler.set_stance``.
    """

    acting: Mapping[nn.Module, Sequence[str]] | None = None


here = _Here()


def acting_names(module: nn.Module, active: Sequence[str]) -> Sequence[str]:
    """The adapters that act on ``module`` here, where ``active`` are active for all threads."""
    return active if here.acting is None else here.acting.get(module, active)
