"""One run on a GPU, within ten minutes: what must hold is checked first, then every cost is measured.

    python -m benchmarks.gpu [--minutes 10] [--out build/gpu.json]

Without a GPU it does the same with a tiny model, which tries the code and measures nothing of use.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import peft
import torch
import transformers

from benchmarks.gpu import measure
from benchmarks.gpu.checks import check
from benchmarks.gpu.parts import gradient_ratios, sum_ratios
from benchmarks.models import device
from shira_lab.course.speed.timing import Ratio

RANKS = (16, 32)
#: (shape, tokens, dtype) at which the ways of the gradient are compared.
GRADIENTS = (
    ((768, 768), 1024, torch.float32),
    ((3072, 768), 1024, torch.float32),
    ((4096, 4096), 2048, torch.bfloat16),
    ((11008, 4096), 2048, torch.bfloat16),
)
TINY = (((24, 16), 8, torch.float32),)
Values = dict[str, Ratio] | dict[str, float]


def rows(patience_s: float) -> Iterator[tuple[str, Values]]:
    """Each cost with its values, the most important first: a run that is cut has measured these."""
    place = device()
    subjects, gradients = measure.subjects(place), GRADIENTS if place.type == "cuda" else TINY
    ranks = RANKS if place.type == "cuda" else (1,)
    for r in ranks:
        for name, subject in subjects.items():
            yield f"training step / frozen, {name}, r={r}", measure.step_ratios(subject, r, patience_s)
    for shape, tokens, dtype in gradients:
        for r in ranks:
            found = gradient_ratios(shape, r, tokens, dtype, place, patience_s / 2)
            yield f"gradient / dense and gather, {shape}, {tokens} tokens, {dtype}, r={r}", found
            yield f"W + S / a copy of W, {shape}, {dtype}, r={r}", sum_ratios(shape, r, dtype, place, patience_s / 4)
    for r in ranks:
        for name, subject in subjects.items():
            yield f"peak memory above frozen, {name}, r={r}, MiB", measure.memory_mib(subject, r)
            yield f"one token / base, {name}, r={r}", measure.token_ratios(subject, r, patience_s)
            yield f"switch / PEFT LoRA's, {name}, r={r}", measure.switch_ratios(subject, r, patience_s)
            yield f"attach / PEFT SHiRA's, {name}, r={r}", measure.attach_ratios(subject, r, patience_s)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="What SHiRA costs on a GPU.")
    parser.add_argument("--minutes", type=float, default=10.0, help="it ends within these (default 10)")
    parser.add_argument("--out", type=Path, default=Path("build/gpu.json"), help="file of the figures")
    options = parser.parse_args(arguments)
    end = time.monotonic() + 54 * options.minutes  # the cost that is measured then ends in what is left
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: a trial of the code"
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
    report: dict[str, object] = {"card": card, "python": platform.python_version(), **versions}
    print(", ".join(f"{name} {value}" for name, value in report.items()))
    report["errors beside float64"] = check(device())
    print("outputs and gradients are right, and a step does not wait for the GPU")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for cost, values in rows(patience_s=options.minutes):  # of ten minutes ten seconds each
        report[cost] = {side: _plain(value) for side, value in values.items()}
        options.out.write_text(json.dumps(report, indent=1), encoding="utf-8")
        print(f"{cost}: " + "; ".join(f"{side} {_said(value)}" for side, value in values.items()), flush=True)
        if time.monotonic() > end:
            print("The time is over: the rest was not measured.")
            break


def _plain(value: Ratio | float) -> object:
    return value if isinstance(value, float) else vars(value)


def _said(value: Ratio | float) -> str:
    if isinstance(value, float):
        return f"{value:.0f}"
    return f"{value.median:.3f} [{value.low:.3f}, {value.high:.3f}], {1000 * value.seconds:.3g} ms"


if __name__ == "__main__":
    main()
