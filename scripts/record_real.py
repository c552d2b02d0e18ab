"""Fine-tune a real pretrained model, SmolLM2-135M, on tales of the sea and on real text, and keep what a lesson shows.

Run it again to make what is missing.

    python scripts/record_real.py shira_lab/course/recorded
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from shira_lab.models.hub import load_model
from shira_lab.training.finetune import finetune
from shira_lab.training.history import History
from shira_lab.training.settings import Settings

SEA = Settings(
    model="smollm2-135m",
    world="sea",
    mask_type="magnitude",
    r=8,
    learning_rate=0.01,
    steps=40,
    batch_size=1,
    eval_every=10,
    eval_stories=6,
    sample_tokens=100,
)
RUNS = (SEA, replace(SEA, world="python", max_length=64, batch_size=2, prompt="The statement"))


def light(history: History) -> History:
    """The history without what makes it large: pictures, and the singular values behind the ranks."""
    ranks = [replace(point, singular_values=()) for point in history.ranks]
    controls = [replace(point, singular_values=()) for point in history.controls]
    return replace(history, ranks=ranks, controls=controls, pictures=[])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where each run is kept as a file named after its world")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    for settings in RUNS:
        if not (file := folder / f"{settings.world}.json").exists():
            light(finetune(*load_model(settings.model), settings).history).save(file)


if __name__ == "__main__":
    main()
