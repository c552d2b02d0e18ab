"""What has to hold on a GPU before a time means anything: outputs, gradients, and no wait for the GPU in a step."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

import shira_lab
from benchmarks.gpu.parts import ways

#: Largest error beside float64, as a share of the largest entry.
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def errors(dtype: torch.dtype, device: torch.device, r: int = 4) -> dict[str, float]:
    """Largest errors of an adapted layer and of each way of the gradient, beside the same with dense float64."""
    torch.manual_seed(0)
    m, n, tokens = 96, 72, 130
    layer = nn.Sequential(nn.Linear(n, m)).requires_grad_(False).to(device, dtype)
    weight, bias = layer[0].weight.double(), layer[0].bias.double()
    config = shira_lab.ShiraConfig(r=r, target_modules=["0"], random_seed=0, init_weights=False)
    model = shira_lab.get_peft_model(layer, config)
    [(_, adapted)] = model.base_model.adapter_layers()
    x = torch.randn(tokens, n, device=device, dtype=dtype, requires_grad=True)
    g = torch.randn(tokens, m, device=device, dtype=dtype)
    adapter = adapted.adapters["default"]
    y = model(x)
    y.backward(g)
    assert x.grad is not None and adapter.shira_weight.grad is not None
    total = weight + adapter.delta_weight().detach().double()
    a, b, at = g.double(), x.detach().double(), adapter.positions
    pairs = {
        "output": (y, b @ total.t() + bias),
        "gradient of x": (x.grad, a @ total),
        "gradient of the values": (adapter.shira_weight.grad, (a.t() @ b).flatten()[at]),
    }
    for name, way in ways(at, (m, n)).items():
        pairs[name] = (way(g, x.detach()), (a.t() @ b).flatten()[at])
    return {name: float((got.double() - want).abs().max() / want.abs().max()) for name, (got, want) in pairs.items()}


@contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """An error where the processor waits for the GPU: a copy to it, ``item``, a size that depends on numbers."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def check(device: torch.device) -> dict[str, float]:
    """Every error, by dtype and name; raises where one is too large or a step waits for the GPU."""
    found = {}
    for dtype, allowed in ALLOWED.items():
        for name, error in errors(dtype, device).items():
            found[f"{name}, {str(dtype).removeprefix('torch.')}"] = error
            if not error <= allowed:
                raise AssertionError(f"{name} in {dtype} on {device} is off by {error:.1e}, more than {allowed:.0e}")
    layer = nn.Sequential(nn.Linear(64, 64)).requires_grad_(False).to(device)
    model = shira_lab.get_peft_model(layer, shira_lab.ShiraConfig(r=2, target_modules=["0"], random_seed=0))
    x = torch.randn(8, 64, device=device, requires_grad=True)
    model(x).sum().backward()  # the first step makes the forms of the positions, once for each mask
    with no_waiting(device):
        model(x).sum().backward()
    return found
