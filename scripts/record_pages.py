"""Fine-tune the embedded model by a few methods, and keep what a page replays: losses, ranks, pictures, spectra, texts.

Run it again to make what is missing.

    python scripts/record_pages.py shira_lab/course/pages/recorded
"""

import argparse
import platform
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from shira_lab.course.pages.recording import Recording
from shira_lab.models.hub import load_model
from shira_lab.training.finetune import finetune
from shira_lab.training.settings import Settings

#: Steps and batch as in the shipped comparison, measured more often.
SHIRA = Settings(steps=80, batch_size=4, eval_every=10, eval_stories=8, sample_tokens=80)
RUNS = {
    "magnitude": SHIRA,
    "lora": replace(SHIRA, method="lora"),
    "random": replace(SHIRA, mask_type="random"),
}


def machine() -> str:
    """The processor's kind and how many of them, as far as Python knows."""
    return f"{platform.system()}, {platform.machine()}, {torch.get_num_threads()} thread"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where each run is kept as a file of its own")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    for name, settings in RUNS.items():
        if not (file := folder / f"{name}.json").exists():
            history = finetune(*load_model(settings.model), settings).history
            Recording(history, machine(), datetime.now(UTC).date().isoformat()).save(file)


if __name__ == "__main__":
    main()
