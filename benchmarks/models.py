"""What is measured: models of opt-125m's shape with random weights, adapted here and by PEFT, and one training step."""

from collections.abc import Callable
from contextlib import nullcontext

import peft
import torch
from torch import Tensor, nn
from transformers import OPTConfig, OPTModel

import shira_lab
from shira_lab.budget import num_params

SIX = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def base_model(layers: int = 12) -> nn.Module:
    """The transformer of opt-125m, random weights, frozen, a small vocabulary: the head is not what is compared."""
    torch.manual_seed(0)
    config = OPTConfig(num_hidden_layers=layers, vocab_size=512, dropout=0.0, attention_dropout=0.0)
    return OPTModel(config).requires_grad_(False).to(device())


def trained_numbers(r: int, layers: int = 12) -> int:
    """r(m + n) over the six linears of each layer."""
    weights = [module.weight for module in base_model(layers).modules() if isinstance(module, nn.Linear)]
    return sum(num_params(r, (weight.shape[0], weight.shape[1])) for weight in weights)


def adapted(kind: str, r: int, layers: int = 12) -> nn.Module:
    """The base model with all six linears adapted: "shira", "lora", "peft shira" or "peft lora"."""
    return attach(kind, base_model(layers), r, SIX)


def attach(kind: str, model: nn.Module, r: int, targets: list[str]) -> nn.Module:
    """A model with an adapter of a kind; see :func:`adapted`."""
    if kind == "shira":
        return shira_lab.get_peft_model(model, shira_lab.ShiraConfig(r=r, target_modules=targets, random_seed=0))
    if kind == "lora":
        return shira_lab.get_peft_model(model, shira_lab.LoraConfig(r=r, target_modules=targets))
    if kind == "peft shira":
        return peft.get_peft_model(model, peft.ShiraConfig(r=r, target_modules=targets, random_seed=0))
    return peft.get_peft_model(model, peft.LoraConfig(r=r, target_modules=targets))


def training_step(
    model: nn.Module, batch: int, tokens: int, autocast: bool = False, numbers: int = 0
) -> Callable[[], None]:
    """Forward, backward and AdamW. Beside a frozen model, AdamW works on as many ``numbers`` as an adapter has."""
    trained = [p for p in model.parameters() if p.requires_grad] or [_stand_in(numbers)]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    first = next(model.parameters())
    width = model.config.hidden_size
    hidden = torch.randn(batch, tokens, width, device=first.device, dtype=first.dtype).requires_grad_()
    frozen = trained[0].grad is not None

    def step() -> None:
        with torch.autocast(device().type, torch.bfloat16) if autocast else nullcontext():
            output: Tensor = model(inputs_embeds=hidden).last_hidden_state
        output.float().square().mean().backward()
        optimizer.step()
        if not frozen:
            optimizer.zero_grad()
        hidden.grad = None

    return step


def _stand_in(numbers: int) -> nn.Parameter:
    """Numbers with a gradient, for the frozen model's optimizer."""
    parameter = nn.Parameter(torch.zeros(numbers, device=device()))
    parameter.grad = torch.zeros_like(parameter)
    return parameter
