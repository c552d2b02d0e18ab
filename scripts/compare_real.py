"""Compare SHiRA's masks, LoRA and full fine-tuning on a real pretrained model, SmolLM2-135M; every run is in a log.

The rules are those of scripts/compare.py: each cell is tuned over the same learning rates and then repeated with other
seeds; full fine-tuning, which wants far smaller ones, over as many rates of its own. The runs are short, as a processor
takes seconds for each step. Run it again to resume: finished runs are read from the log. What is forgotten is the
model's English, measured on Python's language reference.

    python scripts/compare_real.py shira_lab/course/comparison/real.jsonl
"""

from compare import run_plan

from shira_lab.course.comparison.records import Cell, Protocol

PROTOCOL = Protocol(
    model="smollm2-135m",
    reference_world="python",
    steps=24,
    batch_size=1,
    eval_every=24,
    eval_stories=6,
    samples=0,
    learning_rates=(0.003, 0.01, 0.03, 0.1),
    full_learning_rates=(0.0001, 0.0003, 0.001, 0.003),
)


def cells() -> list[Cell]:
    """In the order in which they are run: a log cut short holds whole cells."""
    masks = (Cell("shira", mask_type, 8) for mask_type in ("random", "magnitude"))
    return [Cell("lora", r=8), *masks, Cell("full"), Cell("shira", "snip", 8, calibration_samples=8)]


if __name__ == "__main__":
    run_plan(cells(), PROTOCOL, str(__doc__))
