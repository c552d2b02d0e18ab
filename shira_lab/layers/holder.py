"""What hangs on one linear layer, under the names that PEFT gives it: values, positions, factors, r and scaling."""

from collections.abc import Iterator, Mapping, MutableMapping
from types import MappingProxyType

from torch import Tensor, nn

from shira_lab.errors import AdapterError
from shira_lab.layers.lora import LoraAdapter
from shira_lab.layers.shira import ShiraAdapter
from shira_lab.masks.positions import is_conv1d, shape_of, weight_of

Adapter = ShiraAdapter | LoraAdapter


class AdapterHolder(nn.Module):
    """A linear layer and its adapters, to be looked at.

    Attributes:
        base_layer: ``nn.Linear`` or transformers' ``Conv1D``.
        adapters: the adapters by name, in the order they came.
        in_features, out_features: sizes of the layer's input and output.
        fan_in_fan_out: the weight is stored as (in, out).
    """

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.adapters = nn.ModuleDict()
        m, n = shape_of(base_layer)
        self.fan_in_fan_out = is_conv1d(base_layer)
        self.in_features, self.out_features = (m, n) if self.fan_in_fan_out else (n, m)

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
    def shira_weight(self) -> "ShiraWeights":
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

    def set_scale(self, adapter: str, scale: float) -> None:
        """Scale this adapter's update, 1 being as trained; a layer that does not carry the adapter ignores the call."""
        if adapter in self.adapters:
            self.get_adapter(adapter).scale = float(scale)

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


class ShiraWeights(MutableMapping[str, nn.Parameter]):
    """``layer.shira_weight``: the values of each SHiRA adapter by name, readable and assignable as in PEFT."""

    def __init__(self, layer: AdapterHolder) -> None:
        self._layer = layer

    def _adapters(self) -> dict[str, ShiraAdapter]:
        return {name: a for name, a in self._layer.named_adapters() if isinstance(a, ShiraAdapter)}

    def __getitem__(self, name: str) -> nn.Parameter:
        return self._adapters()[name].shira_weight

    def __setitem__(self, name: str, values: Tensor) -> None:
        adapter = self._adapters()[name]
        if values.shape != adapter.shira_weight.shape:
            raise AdapterError(
                f"`shira_weight['{name}']` has {adapter.shira_weight.numel()} values; got a tensor of shape "
                f"{tuple(values.shape)}."
            )
        if not isinstance(values, nn.Parameter):
            values = nn.Parameter(values.detach(), requires_grad=adapter.shira_weight.requires_grad)
        adapter.shira_weight = values

    def __delitem__(self, name: str) -> None:
        raise AdapterError(f"Use `delete_adapter('{name}')` to remove an adapter.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._adapters())

    def __len__(self) -> int:
        return len(self._adapters())
