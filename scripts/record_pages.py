"""Keep what a page replays: trainings of the embedded model, with losses, ranks, pictures,
spectra and texts; what two adapters do at many scales; and the text of each adapter of a shelf.

Run it again to make what is missing.

    python scripts/record_pages.py shira_lab/course/pages/recorded
"""

import argparse
import json
import platform
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.shelf import AdapterShelf
from shira_lab.course.fusion.blends import save_blends
from shira_lab.course.fusion.pair import shipped_pair
from shira_lab.course.pages.recording import Recording
from shira_lab.course.widgets import AdapterSwitcher, FusionLab
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
SCALES = (0.0, 0.5, 1.0, 1.5)
BLENDS = 20  # as in the lesson


def machine() -> str:
    """The processor's kind and how many of them, as far as Python knows."""
    return f"{platform.system()}, {platform.machine()}, {torch.get_num_threads()} thread"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where each run is kept as a file of its own")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    for name, settings in RUNS.items():
        if not (file := folder / f"training-{name}.json").exists():
            history = finetune(*load_model(settings.model), settings).history
            Recording(history, machine(), datetime.now(UTC).date().isoformat()).save(file)
    if not (file := folder / "fusion.json").exists():
        file.write_text(json.dumps(fused(), indent=1), encoding="utf-8")
    if not (file := folder / "shelf.json").exists():
        file.write_text(json.dumps(shelf_texts(), indent=1), encoding="utf-8")


def fused() -> dict[str, Any]:
    """What the fusion lab shows at each pair of ``SCALES``."""
    lab = FusionLab(scale_1=0, scale_2=0)
    moments = []
    for scale_1, scale_2 in product(SCALES, repeat=2):
        with lab.hold_trait_notifications():
            lab.scale_1, lab.scale_2 = scale_1, scale_2
        lab._settle()
        moments.append(asdict(lab.now))
    return {"worlds": lab.worlds, "base": lab.base, "alone": lab.alone, "moments": moments}


def shelf_texts() -> list[dict[str, str]]:
    """Name and text of the base model and of each adapter on the lesson's shelf of blends."""
    model, tokenizer = shipped_pair()
    texts = []
    with TemporaryDirectory() as folder:
        save_blends(model, list(model.peft_config), BLENDS, folder)
        switcher = AdapterSwitcher(AdapterShelf(PeftModel(load_model()[0]), folder), tokenizer)
        for number in range(BLENDS + 1):
            switcher.number = number
            texts.append({"name": switcher.name or "base model", "text": switcher.text})
    return texts


if __name__ == "__main__":
    main()
