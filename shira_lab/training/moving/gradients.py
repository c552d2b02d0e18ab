"""The dense gradient of frozen weights, taken from the backward passes of training: no batch is read twice.

While somebody looks, the weights of the layers take gradients, which costs a dense product for each layer. A gradient
is added up and deleted as soon as it is there, so nothing clips it or makes a step with it.
"""

from collections.abc import Mapping

import torch.distributed
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from shira_lab.errors import ConfigError
from shira_lab.layers import AdapterLayer
from shira_lab.masks.calibration import Gradients, add_up


class DenseGradients:
    """Sums of gradients by layer path, each of the weight's shape.

    Args:
        layers: by path; their own weights are looked at, adapters included: G = dL/d(W + S).

    Raises:
        ConfigError: when a layer has no weight that could take a gradient.
    """

    def __init__(self, layers: Mapping[str, AdapterLayer]) -> None:
        self.sums: Gradients = {}
        self._paths: dict[nn.Parameter, list[str]] = {}  # modules may share a weight
        for path, layer in layers.items():
            weight = layer.base_layer._parameters.get("weight")
            if weight is None or not weight.is_floating_point():
                raise ConfigError(
                    f"Layer '{path}' has no weight of floating-point numbers that could take a gradient, so its mask "
                    "cannot follow one. Choose `mask_moves` 'never' or 'random', or leave the layer out."
                )
            self._paths.setdefault(weight, []).append(path)
        self._looking: list[tuple[nn.Parameter, bool, RemovableHandle]] = []

    def look(self) -> None:
        """Take the gradients of the backward passes from here on."""
        for weight in self._paths:
            required = weight.requires_grad
            hook = weight.requires_grad_(True).register_post_accumulate_grad_hook(self._take)
            self._looking.append((weight, required, hook))

    def rest(self) -> None:
        """Look no more; what was added up stays."""
        while self._looking:
            weight, required, hook = self._looking.pop()
            hook.remove()
            weight.requires_grad_(required)

    def take(self, path: str) -> Tensor | None:
        """The sum of a layer over all processes, flat, which is then forgotten; None where nobody looked.

        It is a multiple of the mean: only the order of its entries has a meaning.
        """
        total = self.sums.pop(path, None)
        if total is None:
            return None
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(total)
        return total.flatten()

    def _take(self, weight: Tensor) -> None:
        assert isinstance(weight, nn.Parameter) and weight.grad is not None
        for path in self._paths[weight]:
            add_up(self.sums, {path: weight.grad}, "abs_mean")
        weight.grad = None
