"""``layer.shira_weight``, as PEFT's layers have it."""

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from shira_lab.errors import AdapterError
from shira_lab.layers.shira import ShiraAdapter

if TYPE_CHECKING:
    from shira_lab.layers.layer import AdapterLayer


class ShiraWeights(MutableMapping[str, nn.Parameter]):
    """``layer.shira_weight``: the values of each SHiRA adapter by name, readable and assignable as in PEFT."""

    def __init__(self, layer: "AdapterLayer") -> None:
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
