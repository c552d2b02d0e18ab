"""The lines of the table: every cost, its target, and whether what was measured meets it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from benchmarks import files, imports, masks, memory, parts, real, slider, switching, threads, training
from shira_lab.course.speed.timing import Ratio

Value = Ratio | float


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        cost: what is measured, and in which unit.
        target: what it should be, in words.
        values: by side; ratios where a reference ran beside it.
        met: whether the target is met; None where there is none.
        threads: how many PyTorch used.
    """

    cost: str
    target: str
    values: dict[str, Value]
    met: bool | None = None
    threads: int = 1


def _step_row(tokens: str, limit: float, values: dict[str, Ratio]) -> Row:
    ours = values["shira"].median
    cost = f"training step / frozen, six linears, {tokens} tokens"
    met = ours <= limit and ours < values["peft lora"].median
    return Row(cost, f"<= {limit:.2f}, below PEFT LoRA", dict(values), met)


def training_step() -> list[Row]:
    values = training.step_ratios(16, 4)
    ours, peft = (values[side].median for side in ("shira", "peft shira"))
    first = _step_row("r=16, 4x128", 1.10, values)
    target = f"{first.target}, PEFT SHiRA >= 1.4 x ours"
    return [
        replace(first, target=target, met=first.met and peft >= 1.4 * ours),
        _step_row("r=32, 4x128", 1.13, training.step_ratios(32, 4)),
        _step_row("r=16, 8x128", 1.13, training.step_ratios(16, 8)),
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


def real_model() -> list[Row]:
    rows = []
    for batch, tokens in ((2, 64), (4, 128)):
        which = f"SmolLM2-135M, all linears, r=8, {batch}x{tokens}"
        rows.append(Row(f"training step / PEFT LoRA's, {which}", "", dict(real.step_ratios(batch, tokens))))
        rows.append(Row(f"peak memory of the process, {which}, MiB", "", dict(real.peaks_mib(batch, tokens))))
    return rows


def parts_of_a_step() -> list[Row]:
    turning = Row("turning round 512 x 768 / a copy of the transpose", "", dict(parts.turning_ratios()))
    step = Row("what SHiRA's step is made of / frozen, r=16, 4x128", "", dict(parts.parts_ratios()))
    return [step, turning]


def second_thread() -> list[Row]:
    values = threads.thread_ratios()
    return [Row("time with one thread / with two", "", dict(values))]


def decoding() -> list[Row]:
    values = training.decoding_ratios(16)
    met = values["shira"].median <= 1.02
    return [Row("one token with the adapter active / base", "<= 1.02", dict(values), met)]


def switch() -> list[Row]:
    whole, layer = switching.switch_ratios(), switching.layer_switch_ratios()
    return [
        Row(
            "switching opt-125m's shape, r=16 / PEFT LoRA",
            "<= 1/7, same positions <= 1/12",
            dict(whole),
            whole["shira"].median <= 1 / 7 and whole["shira, same positions"].median <= 1 / 12,
        ),
        Row(
            "switching one 4096x4096, r=32 / PEFT LoRA",
            "<= 1/8",
            dict(layer),
            layer["shira"].median <= 1 / 8,
        ),
    ]


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
    "parts": parts_of_a_step,
    "threads": second_thread,
    "memory": peak_memory,
    "real": real_model,
    "decoding": decoding,
    "switch": switch,
    "mask": mask,
    "file": adapter_file,
    "import": import_time,
    "slider": slider_to_picture,
}
# Measured with one thread too: what a second one is worth differs from operation to operation.
ON_ONE_THREAD_TOO = {"step", "autocast", "layer", "parts", "switch"}


def measured(name: str, most_threads: int) -> Iterator[Row]:
    """The lines that ``name`` stands for in :data:`ROWS`."""
    for count in dict.fromkeys((most_threads, 1)) if name in ON_ONE_THREAD_TOO else (most_threads,):
        torch.set_num_threads(count)
        for row in ROWS[name]():
            yield replace(row, threads=count)
    torch.set_num_threads(most_threads)
