"""What a run is told to need beside what it takes: time of a step, and peak resident size of a process of its own.

Trying out a step may not take more than the run: the peak after it stands beside the run's.

python -m benchmarks.forecast
"""

import json
import subprocess
import sys
import time
from statistics import median

import torch
from transformers import OPTConfig, OPTForCausalLM, PreTrainedModel

from benchmarks.memory import peak_resident
from shira_lab.models.hub import load_model
from shira_lab.training.finetune import finetune
from shira_lab.training.forecast import forecast
from shira_lab.training.machine import resident
from shira_lab.training.outlook import seconds_per_measurement, seconds_per_step
from shira_lab.training.settings import Settings

MODELS = ("embedded", "opt-125m's shape")
METHODS = ("shira", "lora", "full")
EVAL_EVERY = 3
WITHIN, TIME_WITHIN = 0.15, 0.30


def run(model_name: str, method: str, batch_size: int, max_length: int, options: dict[str, object]) -> dict[str, float]:
    """Forecast and peak (MB), and the time of a step (s), of a run in this process."""
    model, tokenizer = load_model()
    if model_name != "embedded":
        model = opt_125m()
    settings = Settings(
        model=model_name, method=method, world="python", batch_size=batch_size, max_length=max_length, steps=9,
        eval_every=EVAL_EVERY, eval_stories=8, sample_tokens=32, **options,
    )  # fmt: skip
    told = forecast(model, tokenizer, settings)
    assert told is not None
    held, seconds = resident(), seconds_per_step(model, tokenizer, settings)
    told_all = settings.steps * seconds + 4 * seconds_per_measurement(model, tokenizer, settings)
    tried = peak_resident()
    began = time.perf_counter()
    history = finetune(model, tokenizer, settings, on_event=lambda _: None).history
    took = time.perf_counter() - began
    between = [b.seconds - a.seconds for a, b in zip(history.steps, history.steps[1:], strict=False)]
    without_measuring = [gap for gap, step in zip(between, history.steps, strict=False) if step.step % EVAL_EVERY]
    return {
        "held": held / 1e6, "told": told.peak / 1e6, "tried": tried / 1e6, "peak": peak_resident() / 1e6,
        "told_s": seconds, "step_s": median(without_measuring),
        "told_all": told_all, "took": took,
    }  # fmt: skip


def opt_125m() -> PreTrainedModel:
    torch.manual_seed(0)
    return OPTForCausalLM(OPTConfig()).eval()


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(run(*json.loads(sys.argv[1]))))
        return
    heads = ("held MB", "told MB", "tried MB", "peak MB", "off", "told s", "step s", "off", "told all", "took s")
    print(f"{'model':<18}{'method':<8}{'batch':<8}" + "".join(f"{head:>9}" for head in heads))
    for model_name in MODELS:
        batch_size, max_length = (8, 128) if model_name == "embedded" else (2, 64)
        for method in METHODS:
            asked = json.dumps([model_name, method, batch_size, max_length, {}])
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.forecast", asked]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(answer.stdout.splitlines()[-1])
            off, time_off = found["told"] / found["peak"] - 1, found["told_s"] / found["step_s"] - 1
            print(
                f"{model_name:<18}{method:<8}{batch_size}x{max_length:<6}{found['held']:9.0f}{found['told']:9.0f}"
                f"{found['tried']:9.0f}{found['peak']:9.0f}{off:+9.1%}{found['told_s']:9.2f}{found['step_s']:9.2f}"
                f"{time_off:+9.1%}{found['told_all']:9.0f}{found['took']:9.0f}"
                f"{_verdict(off, WITHIN, 'memory')}{_verdict(time_off, TIME_WITHIN, 'time')}",
                flush=True,
            )


def _verdict(off: float, within: float, what: str) -> str:
    return "" if abs(off) <= within else f"  {what} more than {within:.0%} off"


if __name__ == "__main__":
    main()
