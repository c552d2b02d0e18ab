"""What an adapter costs on one model: steps, tokens, memory, switching, masks."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from benchmarks.models import SIX, attach, base_model, training_step
from benchmarks.switching import lora_switcher, shira_switcher
from shira_lab.budget import num_params
from shira_lab.course.speed.timing import Ratio, Side, interleave

KINDS = ("shira", "peft lora", "peft shira")
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Subject:
    """A model of random weights that is measured.

    Attributes:
        build: makes it, frozen, always with the same weights.
        targets: names of the layers that get an adapter.
        batch: sequences in a step.
        tokens: tokens in a sequence.
    """

    build: Callable[[], nn.Module]
    targets: list[str]
    batch: int
    tokens: int

    def numbers(self, r: int) -> int:
        """r(m + n) over the targets."""
        named = self.build().named_modules()
        weights = [module.weight for name, module in named if name.rpartition(".")[2] in self.targets]
        return sum(num_params(r, (weight.shape[0], weight.shape[1])) for weight in weights)


def llama(
    device: torch.device, dtype: torch.dtype, width: int, wide: int, heads: int, pairs: int, layers: int
) -> nn.Module:
    """A Llama of these widths with ``pairs`` heads of keys and values and a small vocabulary."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=width, intermediate_size=wide, num_attention_heads=heads, num_key_value_heads=pairs,
        num_hidden_layers=layers, vocab_size=512,
    )  # fmt: skip
    with torch.device(device):
        return LlamaModel(config).requires_grad_(False).to(dtype)


def subjects(device: torch.device) -> dict[str, Subject]:
    """opt-125m's shape, one block of 7B's and SmolLM2-135M's; without a GPU small ones that only try the code."""
    if device.type != "cuda":
        tiny = lambda: llama(device, torch.float32, 32, 48, 4, 2, 1)  # noqa: E731
        return {"tiny Llama": Subject(tiny, SEVEN, 2, 8)}
    block = lambda: llama(device, torch.bfloat16, 4096, 11008, 32, 32, 1)  # noqa: E731
    smol = lambda: llama(device, torch.float32, 576, 1536, 9, 3, 30)  # noqa: E731
    return {
        "opt-125m, float32": Subject(base_model, SIX, 8, 128),
        "one block of 7B, bfloat16": Subject(block, SEVEN, 4, 512),
        "SmolLM2-135M, float32": Subject(smol, SEVEN, 8, 128),
    }


def step_ratios(subject: Subject, r: int, patience_s: float) -> dict[str, Ratio]:
    """A training step of each kind over the frozen model's, with an optimizer over as many numbers."""
    models = {kind: attach(kind, subject.build(), r, subject.targets) for kind in KINDS}
    sides = {kind: training_step(model, subject.batch, subject.tokens) for kind, model in models.items()}
    sides["floor"] = training_step(subject.build(), subject.batch, subject.tokens, numbers=subject.numbers(r))
    return interleave(sides, "floor", min_rounds=9, patience_s=patience_s)


def token_ratios(subject: Subject, r: int, patience_s: float) -> dict[str, Ratio]:
    """One token with the adapter active over the base model's. Tokens in a second: one over ``seconds``."""
    models = {"floor": subject.build()} | {kind: attach(kind, subject.build(), r, subject.targets) for kind in KINDS}
    first = next(models["floor"].parameters())
    width = models["floor"].config.hidden_size
    token = torch.randn(1, 1, width, device=first.device, dtype=first.dtype)
    sides: dict[str, Side] = {
        name: lambda model=model: model(inputs_embeds=token, use_cache=False) for name, model in models.items()
    }
    with torch.no_grad():
        return interleave(sides, "floor", min_rounds=20, patience_s=patience_s)


def memory_mib(subject: Subject, r: int) -> dict[str, float]:
    """Peak memory of the GPU in a training step, in MiB, above the frozen model's step. Nothing without a GPU."""
    if not torch.cuda.is_available():
        return {}
    peaks = {}
    for kind in ("floor", *KINDS):
        model = subject.build() if kind == "floor" else attach(kind, subject.build(), r, subject.targets)
        step = training_step(model, subject.batch, subject.tokens, numbers=subject.numbers(r))
        step()
        torch.cuda.reset_peak_memory_stats()
        step()
        peaks[kind] = torch.cuda.max_memory_allocated() / 2**20
        del model, step
        torch.cuda.empty_cache()
    return {kind: peaks[kind] - peaks["floor"] for kind in KINDS}


def switch_ratios(subject: Subject, r: int, patience_s: float) -> dict[str, Ratio]:
    """A switch of the merged model over PEFT LoRA's unmerge and merge."""
    sides = {
        "shira": shira_switcher(subject.build(), r, subject.targets, (0, 1)),
        "shira, same positions": shira_switcher(subject.build(), r, subject.targets, (0, 0)),
        "peft lora": lora_switcher(subject.build(), r, subject.targets),
    }
    return interleave(sides, "peft lora", min_rounds=9, patience_s=patience_s)


def attach_ratios(subject: Subject, r: int, patience_s: float) -> dict[str, Ratio]:
    """Putting an adapter with seeded random positions on the model and taking it off again, over PEFT's."""

    def side(kind: str) -> Side:
        model = subject.build()
        return lambda: attach(kind, model, r, subject.targets).unload()

    sides = {kind: side(kind) for kind in ("shira", "peft shira")}
    return interleave(sides, "peft shira", min_rounds=3, patience_s=patience_s, warmup=1)
