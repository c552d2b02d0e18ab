"""Switching a model between two adapters: k entries of each weight, against LoRA's unmerge and merge."""

import peft
import torch
from torch import nn

import shira_lab
from benchmarks.models import SIX, base_model, device
from shira_lab.course.speed.timing import Ratio, Side, interleave


def _shira(model: nn.Module, r: int, targets: list[str], seeds: tuple[int, int]) -> shira_lab.PeftModel:
    configs = [shira_lab.ShiraConfig(r, targets, random_seed=seed, init_weights=False) for seed in seeds]
    peft_model = shira_lab.get_peft_model(model, configs[0], "a")
    peft_model.add_adapter("b", configs[1])
    return peft_model


def shira_switcher(model: nn.Module, r: int, targets: list[str], seeds: tuple[int, int]) -> Side:
    """A switch to the other of two merged adapters."""
    peft_model = _shira(model, r, targets, seeds)
    layers = [layer for _, layer in peft_model.base_model.adapter_layers()]
    state = {"next": "b"}

    @torch.no_grad()
    def switch() -> None:
        name = state["next"]
        peft_model.set_adapter(name, inference_mode=True)
        for layer in layers:
            layer.merge()
        state["next"] = "a" if name == "b" else "b"

    return switch


def lora_switcher(model: nn.Module, r: int, targets: list[str]) -> Side:
    """The same with PEFT's LoRA: unmerge one, merge the other."""
    lora = peft.get_peft_model(model, peft.LoraConfig(r=r, target_modules=targets, init_lora_weights=False), "a")
    lora.add_adapter("b", peft.LoraConfig(r=r, target_modules=targets, init_lora_weights=False))
    lora.merge_adapter(["a"])
    state = {"next": "b"}

    @torch.no_grad()
    def switch() -> None:
        lora.base_model.unmerge_adapter()
        lora.base_model.merge_adapter([state["next"]])
        state["next"] = "a" if state["next"] == "b" else "b"

    return switch


def switch_ratios(r: int = 16, layers: int = 12, patience_s: float = 40.0) -> dict[str, Ratio]:
    """PEFT LoRA's unmerge and merge over SHiRA's switch, for a whole opt-125m: how many times faster SHiRA is."""
    sides = {
        "shira": shira_switcher(base_model(layers), r, SIX, (0, 1)),
        "shira, same positions": shira_switcher(base_model(layers), r, SIX, (0, 0)),
        "peft lora": lora_switcher(base_model(layers), r, SIX),
    }
    return interleave(sides, "peft lora", patience_s=patience_s)


def layer_switch_ratios(m: int = 4096, n: int = 4096, r: int = 32, patience_s: float = 30.0) -> dict[str, Ratio]:
    """The same for one large layer."""

    def layer() -> nn.Module:
        return nn.Sequential(nn.Linear(n, m, bias=False)).requires_grad_(False).to(device())

    sides = {
        "shira": shira_switcher(layer(), r, ["0"], (0, 1)),
        "shira, same positions": shira_switcher(layer(), r, ["0"], (0, 0)),
        "peft lora": lora_switcher(layer(), r, ["0"]),
    }
    return interleave(sides, "peft lora", patience_s=patience_s)
