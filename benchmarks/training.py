"""What a training step costs beyond the frozen model's, and one layer alone."""

import torch
from torch import nn

import shira_lab
from benchmarks.models import adapted, base_model, device, trained_numbers, training_step
from shira_lab.course.speed.timing import Ratio, Side, interleave

KINDS = ("shira", "lora", "peft lora", "peft shira")


def step_ratios(
    r: int,
    batch: int,
    tokens: int = 128,
    autocast: bool = False,
    layers: int = 2,
    min_rounds: int = 15,
    patience_s: float = 90.0,
) -> dict[str, Ratio]:
    """A step of each kind of adapter over the frozen model's, six linears, transformer layers only."""
    models = {kind: adapted(kind, r, layers) for kind in KINDS}
    sides = {name: training_step(model, batch, tokens, autocast) for name, model in models.items()}
    sides["floor"] = training_step(base_model(layers), batch, tokens, autocast, trained_numbers(r, layers))
    return interleave(sides, "floor", min_rounds, patience_s)


def layer_ratios(r: int, m: int = 768, n: int = 768, tokens: int = 512, patience_s: float = 20.0) -> dict[str, Ratio]:
    """Forward and backward of one adapted layer over the frozen layer's."""

    def layer() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(n, m)).requires_grad_(False).to(device())

    config = shira_lab.ShiraConfig(r=r, target_modules=["0"], random_seed=0)
    models = {
        "floor": layer(),
        "shira": shira_lab.get_peft_model(layer(), config),
        "lora": shira_lab.get_peft_model(layer(), shira_lab.LoraConfig(r=r, target_modules=["0"])),
    }
    x = torch.randn(tokens, n, device=device()).requires_grad_()
    gradient = torch.randn(tokens, m, device=device())

    def side(model: nn.Module) -> None:
        model(x).backward(gradient)
        x.grad = None
        model.zero_grad()

    sides: dict[str, Side] = {name: lambda m=model: side(m) for name, model in models.items()}
    return interleave(sides, "floor", patience_s=patience_s)


def decoding_ratios(r: int, layers: int = 12, patience_s: float = 30.0) -> dict[str, Ratio]:
    """One token through the model with the adapter active, as ``generate`` does it, over the base model's."""
    token = torch.randn(1, 1, 768, device=device())
    models = {"floor": base_model(layers)} | {
        kind: adapted(kind, r, layers) for kind in ("shira", "peft lora", "peft shira")
    }
    for model in models.values():
        model.eval()
    shira = models["shira"]
    assert isinstance(shira, shira_lab.PeftModel)
    with torch.no_grad():
        sides = {name: lambda m=model: m(inputs_embeds=token, use_cache=False) for name, model in models.items()}
        return interleave(sides, "floor", min_rounds=40, patience_s=patience_s)
