"""What it takes to change the adapter that is in a weight: SHiRA writes k entries, LoRA rewrites the whole weight."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.model import get_peft_model


@dataclass(frozen=True)
class SwitchTimes:
    """Seconds that one switch takes, medians over alternating repetitions."""

    shira: float
    lora: float

    @property
    def ratio(self) -> float:
        """How many times longer LoRA takes."""
        return self.lora / self.shira


@torch.no_grad()
def switch_times(out_features: int = 2048, in_features: int = 2048, r: int = 8, repeats: int = 15) -> SwitchTimes:
    """Time a layer's switch between two adapters of one size, both ways to and fro.

    SHiRA puts the originals back and writes the other k = r(m + n) entries. LoRA unmerges and merges:
    W -= B1 A1, W += B2 A2, each as one in-place call, which is the fastest way that PyTorch has.
    """
    shira = shira_switch(out_features, in_features, r)
    lora = lora_switch(out_features, in_features, r)
    times: dict[Callable[[], None], list[float]] = {shira: [], lora: []}
    for _ in range(repeats):
        for switch, seen in times.items():
            started = time.perf_counter()
            switch()
            seen.append(time.perf_counter() - started)
    return SwitchTimes(*(median(seen[2:]) for seen in times.values()))  # the first calls warm up


def shira_switch(m: int, n: int, r: int) -> Callable[[], None]:
    """A call that changes between two SHiRA adapters with r(m + n) numbers on an (m, n) weight."""
    layer = nn.Sequential(nn.Linear(n, m, bias=False))
    model = get_peft_model(layer, ShiraConfig(r, ["0"], random_seed=0, init_weights=False), "a")
    model.add_adapter("b", ShiraConfig(r, ["0"], random_seed=1, init_weights=False))
    adapted = [layer for _, layer in model.base_model.adapter_layers()]
    names = ["a", "b"]

    def switch() -> None:
        model.set_adapter(names[0], inference_mode=True)
        for layer in adapted:
            layer.merge()
        names.reverse()

    return switch


def lora_switch(m: int, n: int, r: int) -> Callable[[], None]:
    """A call that changes between two merged LoRA adapters of rank r on an (m, n) weight."""
    weight = torch.randn(m, n)
    pairs: list[tuple[Tensor, Tensor]] = [(torch.randn(m, r), torch.randn(r, n)) for _ in range(2)]

    def switch() -> None:
        weight.addmm_(*pairs[0], alpha=-1)
        weight.addmm_(*pairs[1])
        pairs.reverse()

    return switch
