"""Four costs of one linear layer with an adapter, each as a ratio to what it is compared with.

Everything is measured as it is used: the layers are those that :func:`shira_lab.get_peft_model` makes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.lora_config import LoraConfig
from shira_lab.adapters.model import PeftModel, get_peft_model
from shira_lab.budget import num_params
from shira_lab.course.fusion.switching import lora_switch, shira_switch
from shira_lab.course.speed.growth import MASK, STEP, SWITCH, TOKEN
from shira_lab.course.speed.timing import Ratio, Side, interleave
from shira_lab.masks import random_mask

SHIRA, LORA, FROZEN, DENSE = "SHiRA", "LoRA", "frozen layer", "dense gradient"


@dataclass(frozen=True)
class LayerSetting:
    """A layer with an (m, n) weight in float32, an adapter with r(m + n) numbers, and a batch of so many tokens."""

    m: int = 768
    n: int = 768
    r: int = 16
    tokens: int = 512

    def layer(self) -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(self.n, self.m, bias=False)).requires_grad_(False)

    def with_shira(self) -> PeftModel:
        return get_peft_model(self.layer(), ShiraConfig(r=self.r, target_modules=["0"], random_seed=0))

    def with_lora(self) -> PeftModel:
        return get_peft_model(self.layer(), LoraConfig(r=self.r, target_modules=["0"]))


def step(setting: LayerSetting, patience_s: float = 5.0) -> dict[str, Ratio]:
    """Forward and backward pass over the frozen layer's. "dense gradient" computes all mn entries and keeps k."""
    m, n = setting.m, setting.n
    x, gradient = torch.randn(setting.tokens, n).requires_grad_(), torch.randn(setting.tokens, m)
    trained = setting.layer().requires_grad_(True)
    places = random_mask.positions(trained[0], setting.r, random_seed=0)

    def run(model: Callable[[Tensor], Tensor]) -> Side:
        def side() -> None:
            model(x).backward(gradient)
            x.grad = None

        return side

    def dense() -> None:
        run(trained)()
        weight = trained[0].weight
        assert isinstance(weight, Tensor) and weight.grad is not None
        weight.grad.flatten().index_select(0, places)
        weight.grad = None

    sides = {
        FROZEN: run(setting.layer()),
        SHIRA: run(setting.with_shira()),
        LORA: run(setting.with_lora()),
        DENSE: dense,
    }
    return interleave(sides, FROZEN, patience_s=patience_s)


def decoding(setting: LayerSetting, patience_s: float = 3.0) -> dict[str, Ratio]:
    """One token through the layer with the adapter active, over the bare layer's."""
    x = torch.randn(1, setting.n)
    shira, lora, bare = setting.with_shira(), setting.with_lora(), setting.layer()
    with torch.no_grad():
        sides = {FROZEN: lambda: bare(x), SHIRA: lambda: shira(x), LORA: lambda: lora(x)}
        return interleave(sides, FROZEN, min_rounds=200, patience_s=patience_s)


def switching(setting: LayerSetting, patience_s: float = 3.0) -> dict[str, Ratio]:
    """One adapter out and another in, over LoRA's: W -= B1 A1, W += B2 A2."""
    sides = {LORA: lora_switch(setting.m, setting.n, setting.r), SHIRA: shira_switch(setting.m, setting.n, setting.r)}
    with torch.no_grad():
        return interleave(sides, LORA, patience_s=patience_s)


def mask(setting: LayerSetting, patience_s: float = 3.0) -> dict[str, Ratio]:
    """The seeded random mask over the way it is defined: k numbers of a random order of all mn."""
    m, n, r = setting.m, setting.n, setting.r
    layer, k = nn.Linear(n, m, bias=False, device="meta"), num_params(setting.r, (m, n))
    sides: dict[str, Side] = {
        "whole order": lambda: torch.randperm(m * n, generator=torch.Generator().manual_seed(0))[:k].sort(),
        SHIRA: lambda: random_mask.positions(layer, r, random_seed=0),
    }
    return interleave(sides, "whole order", min_rounds=9, patience_s=patience_s)


#: The four costs by name, each with the function that measures it.
ROWS: dict[str, Callable[[LayerSetting], dict[str, Ratio]]] = {
    STEP: step,
    TOKEN: decoding,
    SWITCH: switching,
    MASK: mask,
}
