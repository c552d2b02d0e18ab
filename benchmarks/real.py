"""A whole training step of a real pretrained model, SmolLM2-135M, with its head: SHiRA, LoRA, full, and PEFT's two."""

import subprocess
import sys

import peft
import torch
from transformers import PreTrainedModel

import shira_lab
from benchmarks.memory import peak_resident
from shira_lab.course.speed.timing import Ratio, Side, interleave
from shira_lab.models.hub import load_model

SIDES = ("shira", "lora", "full", "peft lora", "peft shira")
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def training_step(side: str, batch: int, tokens: int, r: int = 8) -> Side:
    """Forward, backward and AdamW on random tokens."""
    model: PreTrainedModel = load_model("smollm2-135m")[0]
    common = {"r": r, "target_modules": SEVEN}
    if side == "shira":
        trained = shira_lab.get_peft_model(model, shira_lab.ShiraConfig(**common))
    elif side == "lora":
        trained = shira_lab.get_peft_model(model, shira_lab.LoraConfig(**common))
    elif side == "full":
        trained = model
    else:
        config = peft.ShiraConfig(**common) if side == "peft shira" else peft.LoraConfig(**common)
        trained = peft.get_peft_model(model, config)
    optimizer = torch.optim.AdamW([p for p in trained.parameters() if p.requires_grad], lr=1e-5)
    ids = torch.randint(model.config.vocab_size, (batch, tokens), generator=torch.Generator().manual_seed(0))

    def step() -> None:
        trained(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def step_ratios(batch: int, tokens: int, patience_s: float = 120.0) -> dict[str, Ratio]:
    """A step of each side over that of PEFT's LoRA, all in this process."""
    sides = {side: training_step(side, batch, tokens) for side in SIDES}
    return interleave(sides, "peft lora", min_rounds=7, patience_s=patience_s, warmup=1)


def peaks_mib(batch: int, tokens: int) -> dict[str, float]:
    """MiB that a process of its own holds at most in three steps, PyTorch and the model included."""
    return {side: _peak_of(side, batch, tokens) for side in SIDES}


def _peak_of(side: str, batch: int, tokens: int) -> float:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.real", side, str(batch), str(tokens)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(run.stdout.split()[-1])


def main() -> None:
    step = training_step(sys.argv[1], batch=int(sys.argv[2]), tokens=int(sys.argv[3]))
    for _ in range(3):
        step()
    print(peak_resident() / 2**20)


if __name__ == "__main__":
    main()
