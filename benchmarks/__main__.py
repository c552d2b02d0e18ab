"""``make bench``: one table of every cost beside its target, and the same as JSON.

python -m benchmarks [--only ROW ...] [--threads 2] [--out build/bench.json]
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import accelerate
import peft
import torch
import transformers

from benchmarks import files, imports, masks, memory, slider, switching, training
from benchmarks.memory_kept import keep_freed_memory
from shira_lab.speed.timing import Ratio

Value = Ratio | float
COMPILED_LIMIT = 1.06


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        cost: what is measured, and in which unit.
        target: what it should be, in words.
        values: by side; ratios where a reference ran beside it.
        met: whether the target is met; None where there is none.
    """

    cost: str
    target: str
    values: dict[str, Value]
    met: bool | None


def _step_row(cost: str, limit: float, values: dict[str, Ratio], against_peft: float | None = None) -> Row:
    ours, compiled = values["shira"].median, values["shira, compiled"].median
    met = ours <= limit and compiled <= COMPILED_LIMIT and ours < values["peft lora"].median
    target = f"<= {limit:.2f} x floor, compiled <= {COMPILED_LIMIT}, below PEFT LoRA"
    if against_peft is not None:
        met = met and values["peft shira"].median / ours >= against_peft
        target += f", PEFT SHiRA >= {against_peft} x ours"
    return Row(cost, target, dict(values), met)


def training_step() -> list[Row]:
    cost = "training step / frozen, six linears, "
    return [
        _step_row(cost + "r=16, 4x128 tokens", 1.10, training.step_ratios(16, 4), 1.4),
        _step_row(cost + "r=32, 4x128 tokens", 1.13, training.step_ratios(32, 4)),
        _step_row(cost + "r=16, 8x128 tokens", 1.13, training.step_ratios(16, 8)),
    ]


def autocast() -> list[Row]:
    # A processor without bf16 instructions needs many seconds a step: few rounds, which the table then says.
    values = training.step_ratios(16, 4, autocast=True, layers=1, min_rounds=5)
    met = values["shira"].median <= 1.21
    return [Row("the same under bf16 autocast, 4x128", "<= 1.21 x floor", dict(values), met)]


def one_layer() -> list[Row]:
    values = training.layer_ratios(16)
    met = values["shira"].median <= 1.15
    return [Row("one layer 768x768, 512 tokens, r=16 / frozen", "<= 1.15", dict(values), met)]


def peak_memory() -> list[Row]:
    values = memory.peaks_mib()
    met = values["shira"] <= values["peft lora"] and values["shira"] <= values["peft shira"] / 10
    target = "<= PEFT LoRA's, <= 0.1 x PEFT SHiRA's"
    return [Row("peak memory above the frozen step, MiB", target, dict(values), met)]


def decoding() -> list[Row]:
    values = training.decoding_ratios(16)
    met = values["shira"].median <= 1.02
    return [Row("one token with the adapter active / base", "<= 1.02", dict(values), met)]


def switch() -> list[Row]:
    whole, layer = switching.switch_ratios(), switching.layer_switch_ratios()
    return [
        Row(
            "switching opt-125m's shape, r=16 / PEFT LoRA",
            "<= 1/7, same positions <= 1/12, compiled or not",
            dict(whole),
            _best(whole, "") <= 1 / 7 and _best(whole, ", same positions") <= 1 / 12,
        ),
        Row(
            "switching one 4096x4096, r=32 / PEFT LoRA",
            "<= 1/8, compiled or not",
            dict(layer),
            _best(layer, "") <= 1 / 8,
        ),
    ]


def _best(ratios: dict[str, Ratio], which: str) -> float:
    return min(ratios["shira" + which].median, ratios["compiled" + which].median)


def mask() -> list[Row]:
    found = masks.mask_ratios()
    random, magnitude = found["random"], found["magnitude"]
    return [
        Row("seeded random mask 4096x4096, r=32 / PEFT", "<= 0.03", dict(random), random["ours"].median <= 0.03),
        Row("magnitude mask 4096x4096, r=32 / topk", "<= 0.25", dict(magnitude), magnitude["ours"].median <= 0.25),
    ]


def adapter_file() -> list[Row]:
    sizes = files.bytes_per_number()
    met = sizes["compact, seeded"] <= 4.1 and sizes["compact, magnitude"] <= 6
    return [Row("adapter file, bytes a number, r=16", "seeded <= 4.1, others <= 6", dict(sizes), met)]


def import_time() -> list[Row]:
    values = imports.import_ratios()
    widgets_s = values["mask explorer"].seconds - values["torch"].seconds
    met = values["shira_lab"].median <= 1.1 and widgets_s < 1
    return [Row("imports / import torch", "shira_lab <= 1.1, mask explorer < 1 s more", dict(values), met)]


def slider_to_picture() -> list[Row]:
    found = {name: slider.percentile_95(times) for name, times in slider.slider_ms().items()}
    met = found["mask"] <= 80 and found["mask and spectrum"] <= 130
    target = "mask <= 80, mask and spectrum <= 130"
    return [Row("slider to painted picture, 768x768, 95th percentile, ms", target, dict(found), met)]


ROWS: dict[str, Callable[[], list[Row]]] = {
    "step": training_step,
    "autocast": autocast,
    "layer": one_layer,
    "memory": peak_memory,
    "decoding": decoding,
    "switch": switch,
    "mask": mask,
    "file": adapter_file,
    "import": import_time,
    "slider": slider_to_picture,
}


def machine() -> dict[str, str]:
    """What the figures were made on."""
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "not set"),
        "accelerator": cuda,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
        "peft": peft.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _show(name: str, value: Value) -> str:
    if isinstance(value, float):
        return f"{name} {value:.2f}"
    unsettled = "" if value.settled else " (not settled)"
    interval = f"[{value.low:.3f}, {value.high:.3f}]"
    return f"{name} {value.median:.3f} {interval}, {1000 * value.seconds:.3g} ms{unsettled}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Costs beside their targets.")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    facts = machine() | {"freed memory": "kept" if keep_freed_memory() else "given back"}
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()))
    print("Ratios are medians of paired rounds, with the 95% interval of the median.\n")
    rows: list[Row] = []
    started = time.perf_counter()
    for name in options.only:
        for row in ROWS[name]():
            rows.append(row)
            verdict = {True: "met", False: "NOT met", None: ""}[row.met]
            print(f"{row.cost}\n    target {row.target}: {verdict}")
            print("".join(f"    {_show(side, value)}\n" for side, value in row.values.items()), flush=True)
    print(f"{time.perf_counter() - started:.0f} s")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": facts, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
