"""The same layer as plain PyTorch: a dense weight that autograd differentiates whole."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from shira_lab.layers import AdapterLayer, ShiraAdapter
from shira_lab.masks import mask_positions, random_mask

KINDS: dict[str, Callable[[int, int], nn.Module]] = {
    "Linear": lambda n, m: nn.Linear(n, m),
    "Linear without bias": lambda n, m: nn.Linear(n, m, bias=False),
    "Conv1D": lambda n, m: Conv1D(m, n),
}


def adapter_layer(kind: str, n: int, m: int, r: int, seeds: tuple[int, ...] = (1,), scale: float = 1.0) -> AdapterLayer:
    """A float64 layer with one adapter for each seed, all active, values not zero."""
    base = KINDS[kind](n, m).double().requires_grad_(False)
    layer = AdapterLayer(base)
    for seed in seeds:
        positions = mask_positions(random_mask, base, r, random_seed=seed)
        values = torch.randn(positions.numel(), dtype=torch.float64)
        layer.add_adapter(f"a{seed}", ShiraAdapter(r, tuple(base.weight.shape), positions, values, kind == "Conv1D"))
        layer.set_scale(f"a{seed}", scale)
    layer.set_adapter([f"a{seed}" for seed in seeds])
    return layer


def dense(layer: AdapterLayer) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The layer as plain PyTorch, with its weight as a leaf."""
    weight = layer.base_weight().clone()
    for name in layer.active_adapters:
        weight += layer.get_delta_weight(name).detach()
    weight.requires_grad_(True)
    return lambda x: F.linear(x, weight.t() if layer.fan_in_fan_out else weight, layer.bias), weight


def assert_masked_gradient(layer: AdapterLayer, weight: Tensor, tolerance: float = 1e-12) -> None:
    for _, adapter in layer.named_adapters():
        expected = weight.grad.flatten()[adapter.positions] * adapter.scaling
        error = (adapter.shira_weight.grad - expected).abs().max() / expected.abs().max().clamp_min(1e-30)
        assert error <= tolerance


def loss_of(output: Tensor) -> Tensor:
    return (output * torch.arange(1, output.numel() + 1, dtype=output.dtype).view(output.shape).sin()).sum() + (
        output.square().sum()
    )
