"""The whole method on one page: Sparse High Rank Adapters (SHiRA, arXiv 2406.13175, section 3).

forward     y  = x (W + S)^T + b        S[positions] = v, k = r(m + n) numbers, and zero elsewhere
backward    dv = (dy^T x)[positions]    the weight W of shape (m, n) stays frozen; of dy^T x, k entries are made
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn


@dataclass(kw_only=True)
class ShiraConfig:
    """What to train: r(m + n) entries of each linear layer whose path is, or ends in, one of ``target_modules``."""

    target_modules: list[str]
    r: int = 32
    mask_type: str = "random"  # or "magnitude"
    random_seed: int = 0


def mask_positions(weight: Tensor, config: ShiraConfig) -> Tensor:
    """k sorted positions in a weight (m, n), drawn or of the largest |W|: p is row p // n, column p % n."""
    m, n = weight.shape
    if not 1 <= config.r <= m * n // (m + n):
        raise ValueError(f"`r` is {config.r}; expected 1 to {m * n // (m + n)} for a weight of shape ({m}, {n}).")
    if config.mask_type == "random":
        order = torch.randperm(m * n, generator=torch.Generator().manual_seed(config.random_seed))
    elif config.mask_type == "magnitude":
        order = weight.detach().abs().flatten().argsort(descending=True, stable=True)
    else:
        raise ValueError(f"`mask_type` is {config.mask_type!r}; expected 'random' or 'magnitude'.")
    return order[: config.r * (m + n)].sort().values.to(weight.device)


def add_sparse(weight: Tensor, positions: Tensor, v: Tensor) -> Tensor:
    """W + S, a new tensor (m, n): nothing is ever written into W."""
    return weight.put(positions, (weight.take(positions) + v).to(weight.dtype))


class SparseWeightGrad(torch.autograd.Function):
    """y = x (W + S)^T + b, of shape (..., m) for x (..., n); its backward pass makes k numbers of the weight's mn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, weight: Tensor, positions: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, v, weight, positions)
        return nn.functional.linear(x, add_sparse(weight, positions, v), bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, v, weight, positions = ctx.saved_tensors
        rows, columns = torch.unravel_index(positions, weight.shape)
        g, h = (of.reshape(-1, of.shape[-1]).T.contiguous() for of in (dy, x))  # (m, tokens), (n, tokens)
        dv = torch.cat([h[columns[rows == i]] @ g[i] for i in range(len(g))])
        return dy @ add_sparse(weight, positions, v), dv, None, None, None


class ShiraLinear(nn.Module):
    """A frozen ``nn.Linear`` with k trainable parameters in float32, zero at first: it starts as the base."""

    def __init__(self, base_layer: nn.Linear, positions: Tensor) -> None:
        super().__init__()
        self.base_layer, self.positions = base_layer.requires_grad_(False), nn.Buffer(positions)
        self.shira_weight = nn.Parameter(torch.zeros(positions.numel(), device=positions.device))

    def forward(self, x: Tensor) -> Tensor:
        base = self.base_layer
        return SparseWeightGrad.apply(x, self.shira_weight, base.weight, self.positions, base.bias)


def inject_adapter_in_model(config: ShiraConfig, model: nn.Module) -> None:
    """Freeze ``model`` and replace its target layers in place. A ValueError leaves the model as it was."""
    linear = {path: layer for path, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    ends = tuple(f".{name}" for name in config.target_modules)
    targets = {path: layer for path, layer in linear.items() if f".{path}".endswith(ends)}
    if not targets:
        raise ValueError(f"`target_modules` is {config.target_modules}; the linear layers are {', '.join(linear)}.")
    positions = {path: mask_positions(layer.weight, config) for path, layer in targets.items()}
    model.requires_grad_(False)
    for path, layer in targets.items():
        model.set_submodule(path, ShiraLinear(layer, positions[path]))


def save_pretrained(model: nn.Module, config: ShiraConfig, folder: Path) -> None:
    """Write the two files of PEFT: the config, and each layer's v (k,) with its rows and columns (2, k)."""
    tensors = {}
    for path, layer in model.named_modules():
        if isinstance(layer, ShiraLinear):
            indices = torch.stack(torch.unravel_index(layer.positions, layer.base_layer.weight.shape))
            tensors[f"base_model.model.{path}.shira_weight"] = layer.shira_weight.detach()
            tensors[f"base_model.model.{path}.shira_indices"] = indices.to(torch.int32)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "SHIRA", **asdict(config)}, indent=2))
