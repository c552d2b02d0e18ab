"""What a run is told to need beside what it takes: time of a step, and peak resident size of a process of its own.

python -m benchmarks.forecast
"""

import json
import resource
import subprocess
import sys

import torch
from transformers import OPTConfig, OPTForCausalLM, PreTrainedModel

from shira_lab.hub import load_model
from shira_lab.machine import resident
from shira_lab.training.finetune import finetune
from shira_lab.training.forecast import forecast, seconds_per_step
from shira_lab.training.history import Settings

MODELS = ("embedded", "opt-125m's shape")
METHODS = ("shira", "lora", "full")
WITHIN = 0.15


def run(model_name: str, method: str, batch_size: int, max_length: int, options: dict[str, object]) -> dict[str, float]:
    """Forecast and peak (MB), and the time of a step (s), of a run in this process."""
    model, tokenizer = load_model()
    if model_name != "embedded":
        model = opt_125m()
    settings = Settings(
        model=model_name, method=method, world="python", batch_size=batch_size, max_length=max_length, steps=6,
        eval_every=3, eval_stories=8, sample_tokens=32, **options,
    )  # fmt: skip
    told = forecast(model, tokenizer, settings)
    assert told is not None
    held, seconds = resident(), seconds_per_step(model, tokenizer, settings) or 0.0
    history = finetune(model, tokenizer, settings, on_event=lambda _: None).history
    between = [b.seconds - a.seconds for a, b in zip(history.steps, history.steps[1:], strict=False)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "held": held / 1e6, "told": told.peak / 1e6, "peak": peak / 1e6, "told_s": seconds, "step_s": min(between)
    }  # fmt: skip


def opt_125m() -> PreTrainedModel:
    torch.manual_seed(0)
    return OPTForCausalLM(OPTConfig()).eval()


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(run(*json.loads(sys.argv[1]))))
        return
    heads = ("held MB", "told MB", "peak MB", "off", "told s", "step s")
    print(f"{'model':<18}{'method':<8}{'batch':<8}" + "".join(f"{head:>9}" for head in heads))
    for model_name in MODELS:
        batch_size, max_length = (8, 128) if model_name == "embedded" else (2, 64)
        for method in METHODS:
            asked = json.dumps([model_name, method, batch_size, max_length, {}])
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.forecast", asked]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(answer.stdout.splitlines()[-1])
            off = found["told"] / found["peak"] - 1
            print(
                f"{model_name:<18}{method:<8}{batch_size}x{max_length:<6}{found['held']:9.0f}{found['told']:9.0f}"
                f"{found['peak']:9.0f}{off:+9.1%}{found['told_s']:9.2f}{found['step_s']:9.2f}"
                f"{'' if abs(off) <= WITHIN else '  more than 15% off'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
