"""The two parts of a step that SHiRA adds, each in several ways: which is fastest for a shape, an r and a dtype."""

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from shira_lab.budget import num_params
from shira_lab.course.speed.timing import Ratio, Side, interleave
from shira_lab.layers.pattern import Pattern
from shira_lab.layers.sampled import dense_product, sampled_product
from shira_lab.layers.shira import Delta, plus

Gradient = Callable[[Tensor, Tensor], Tensor]


def has_kernels(device: torch.device) -> bool:
    return device.type == "cuda" and find_spec("triton") is not None


def ways(positions: Tensor, shape: tuple[int, int]) -> dict[str, Gradient]:
    """Functions of a (tokens, m) and b (tokens, n) that give the entries of a^T b at the positions."""
    pattern = Pattern.of(positions, shape)
    found: dict[str, Gradient] = {
        "dense and gather": lambda a, b: dense_product(a, b, pattern),
        "dense in its own dtype and gather": lambda a, b: (a.t() @ b).flatten()[positions],
        "the library's": lambda a, b: sampled_product(a, b, pattern),
    }
    if has_kernels(positions.device):
        from benchmarks.gpu.kernels import Bits, sampled_gradient

        bits = Bits.of(positions, shape)
        found["tiles"] = lambda a, b: sampled_gradient(a, b, bits)
    return found


def random_positions(shape: tuple[int, int], r: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randperm(shape[0] * shape[1], generator=generator)[: num_params(r, shape)]
    return drawn.sort().values.to(device)


def gradient_ratios(
    shape: tuple[int, int], r: int, tokens: int, dtype: torch.dtype, device: torch.device, patience_s: float
) -> dict[str, Ratio]:
    """Each way's time over that of the dense product and a gather."""
    generator = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(tokens, width, generator=generator, device=device, dtype=dtype) for width in shape)
    sides: dict[str, Side] = {
        name: lambda way=way: way(a, b) for name, way in ways(random_positions(shape, r, device), shape).items()
    }
    return interleave(sides, "dense and gather", min_rounds=9, patience_s=patience_s)


def sum_ratios(
    shape: tuple[int, int], r: int, dtype: torch.dtype, device: torch.device, patience_s: float
) -> dict[str, Ratio]:
    """W + S in memory of its own: each way's time over that of a copy of W alone."""
    positions = random_positions(shape, r, device)
    weight = torch.zeros(shape, device=device, dtype=dtype)
    values = torch.ones(positions.numel(), device=device)
    sides: dict[str, Side] = {
        "copy": weight.clone,
        "the library's": lambda: plus(weight, [Delta(values, positions, 1.0)]),
    }
    if has_kernels(device):
        from benchmarks.gpu import kernels

        bits = kernels.Bits.of(positions, shape)
        sides["bits"] = lambda: kernels.plus(weight, values, bits)
    return interleave(sides, "copy", min_rounds=9, patience_s=patience_s)
