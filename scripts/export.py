"""Ship a pretraining run: weights in float16, tokenizer, recipe, log, and a model card made of measurements.

The figures are those of the shipped files, read back as a learner reads them. Exits with 1 when the model misses a bar
of `model_card.GATE`; the card then says so too.

    python scripts/export.py runs/base shira_lab/embedded
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from model_card import Measurements, write_card
from pretrain import Run
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from shira_lab.models.hub import load_model
from shira_lab.training.evaluate import sample, story_loss
from shira_lab.training.worlds import WORLDS, get_world


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that scripts/pretrain.py wrote")
    parser.add_argument("destination", type=Path)
    parser.add_argument("--stories", type=int, default=500, help="held-out stories of each world")
    parser.add_argument("--samples", type=int, default=4000, help="texts to check for consistency")
    parser.add_argument("--prompt", default="Once there was")
    parser.add_argument("--seed", type=int, default=0, help="of the held-out stories and the samples")
    return parser.parse_args()


def write_model(folder: Path, destination: Path) -> None:
    """Write the checkpoint in `folder` to `destination` in float16, with its tokenizer, recipe and log."""
    recipe = json.loads((folder / "recipe.json").read_text())
    run = Run(argparse.Namespace(run=folder, **recipe))
    run.restore()
    shutil.rmtree(destination, ignore_errors=True)
    run.model.half().save_pretrained(destination)
    (destination / "model.safetensors").chmod(0o644)  # safetensors makes it readable for its owner alone
    run.tokenizer.save_pretrained(destination)
    shutil.copy(folder / "recipe.json", destination)
    shutil.copy(run.log, destination)


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, arguments: argparse.Namespace) -> Measurements:
    """Held-out losses in each world, and texts checked for consistency."""
    losses = {
        name: story_loss(model, tokenizer, world.stories(arguments.stories, arguments.seed, split="held-out"))
        for name, world in WORLDS.items()
    }
    texts = sample(model, tokenizer, arguments.samples, prompt=arguments.prompt, seed=arguments.seed)
    return Measurements(losses, get_world("meadow").tally(texts), texts, arguments.prompt, arguments.seed)


def main() -> None:
    arguments = parse_arguments()
    logging.disable_progress_bar()
    write_model(arguments.run, arguments.destination)
    model, tokenizer = load_model(arguments.destination)
    measured = measure(model, tokenizer, arguments)
    print(write_card(arguments.destination, measured, model.num_parameters(), len(tokenizer)))
    sys.exit(bool(measured.missed()))


if __name__ == "__main__":
    main()
