"""Ship a pretraining run: weights in float16, tokenizer, recipe, log, and a model card made of measurements.

The figures are those of the shipped files, read back as a learner reads them. Exits with 1 when the model misses
a bar of `GATE`; the card then says so too.

    python scripts/export.py runs/base shira_lab/embedded
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from statistics import mean

import torch
import transformers
from pretrain import Run

from shira_lab.hub import load_model
from shira_lab.training.evaluate import sample, story_loss
from shira_lab.worlds import WORLDS, Story, get_world

# What the lessons need: an object that is the right one, a friend who stays the same, little left to learn.
GATE = {"hero": 0.99, "pronoun": 0.99, "friend": 0.98, "object": 0.99, "home": 0.99, "mood": 0.99}
EXCESS_GATE = 0.02  # nats per token, on held-out meadow tales
PROMPT = "Once there was"
WEIGHTS = "model.safetensors"

CARD = """---
license: mit
language: en
library_name: transformers
pipeline_tag: text-generation
---
# The embedded model

A small OPT ({parameters:,} parameters, float16, {megabytes:.1f} MB) that tells meadow tales. It was pretrained from
scratch by `scripts/pretrain.py` on text that `shira_lab.worlds` makes, and knows nothing else: it is here so that
every lesson runs without a download. Load it with `shira_lab.hub.load_model()`.

> {example}

## How good it is

Every random choice of the grammar is booked, so the lowest possible loss (the floor) is known exactly. Measured by
`scripts/export.py` on the files of this folder, loaded in float32, with {stories} held-out stories of each world:

| world | floor | loss | excess (nats per token) | tokens |
|---|---|---|---|---|
{losses}

Meadow tales, almanac and inventory are its pretraining text. The tales of the sea and of space are new to it; the
almanac has shown it their words, never their sentences.

{samples} texts after the prompt "{prompt}" at temperature 1, seed {seed}, checked for consistency:

| check | right | share | at least |
|---|---|---|---|
{checks}

{told} of the {samples} texts are, word for word, stories that the grammar can tell.
{verdict}

## How it was made

{step} of {steps} steps of {batch_size} texts, {tokens:,} tokens, {minutes:.0f} minutes on {threads} CPU threads
({speed:,.0f} tokens a second). OPT with hidden size {hidden}, {layers} layers, {heads} heads, {vocabulary} tokens of
byte-level BPE, tied embeddings, no dropout, bfloat16 autocast. AdamW (betas 0.9 and 0.98, weight decay 0.01), peak
learning rate {learning_rate:g} after {warm_up} steps, then linear to 0, gradients clipped at 1. Share of each world in
a batch, first and last step: {mixture}. No text was used twice. torch {torch}, transformers {transformers}.

| tokens | mean training loss |
|---|---|
{curve}

`log.jsonl` is the whole log, `recipe.json` the settings.
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that scripts/pretrain.py wrote")
    parser.add_argument("destination", type=Path)
    parser.add_argument("--stories", type=int, default=500, help="held-out stories of each world")
    parser.add_argument("--samples", type=int, default=1000, help="texts to check for consistency")
    parser.add_argument("--seed", type=int, default=0, help="of the held-out stories and the samples")
    return parser.parse_args()


def write_model(folder: Path, destination: Path) -> dict:
    """Write the checkpoint in `folder` to `destination` in float16; returns the recipe."""
    recipe = json.loads((folder / "recipe.json").read_text())
    run = Run(argparse.Namespace(run=folder, **recipe))
    run.restore()
    shutil.rmtree(destination, ignore_errors=True)
    run.model.half().save_pretrained(destination)
    (destination / WEIGHTS).chmod(0o644)  # safetensors makes it readable for its owner alone
    run.tokenizer.save_pretrained(destination)
    shutil.copy(folder / "recipe.json", destination)
    shutil.copy(run.log, destination)
    return recipe


def measure(destination: Path, arguments: argparse.Namespace) -> tuple[dict, dict, list[str]]:
    """(loss of each world, consistency counts, samples) of the shipped files."""
    model, tokenizer = load_model(destination)
    held_out: dict[str, list[Story]] = {
        name: world.stories(arguments.stories, arguments.seed, split="held-out") for name, world in WORLDS.items()
    }
    losses = {name: story_loss(model, tokenizer, stories) for name, stories in held_out.items()}
    texts = sample(model, tokenizer, arguments.samples, prompt=PROMPT, seed=arguments.seed)
    return losses, get_world("meadow").tally(texts), texts


def missed(losses: dict, counts: dict) -> list[str]:
    """The names of the gate's bars that the model does not reach."""
    checks = [check for check, bar in GATE.items() if not counts[check].share >= bar]
    return checks + ["excess"] * (losses["meadow"].excess > EXCESS_GATE)


def curve(log: Path, points: int = 8) -> str:
    """Table rows of the training loss, averaged over equal stretches of the log."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    stretches = [lines[len(lines) * i // points : len(lines) * (i + 1) // points] for i in range(points)]
    return "\n".join(
        f"| {stretch[-1]['tokens']:,} | {mean(line['loss'] for line in stretch):.3f} |" for stretch in stretches
    )


def card(recipe: dict, destination: Path, losses: dict, counts: dict, texts: list[str], seed: int) -> str:
    last = json.loads((destination / "log.jsonl").read_text().splitlines()[-1])
    meadow = get_world("meadow")
    bars = missed(losses, counts)
    return CARD.format(
        **recipe
        | {
            "seed": seed,
            "mixture": "; ".join(
                f"{name} {first:.0%} to {final:.0%}" for name, (first, final) in recipe["mixture"].items()
            ),
        },
        parameters=load_model(destination)[0].num_parameters(),
        megabytes=(destination / WEIGHTS).stat().st_size / 1e6,
        example=texts[0],
        stories=losses["meadow"].stories,
        losses="\n".join(
            f"| {name} | {loss.floor:.4f} | {loss.loss:.4f} | {loss.excess:.4f} | {loss.tokens:,} |"
            for name, loss in losses.items()
        ),
        samples=len(texts),
        prompt=PROMPT,
        checks="\n".join(
            f"| {name} | {count} | {count.share:.1%} | {GATE[name]:.0%} |" for name, count in counts.items()
        ),
        told=sum(map(meadow.tells, texts)),
        verdict=f"It misses its bar for: {', '.join(bars)}." if bars else "It reaches every bar.",
        step=last["step"],
        tokens=last["tokens"],
        minutes=last["seconds"] / 60,
        speed=last["tokens"] / last["seconds"],
        curve=curve(destination / "log.jsonl"),
        torch=torch.__version__.partition("+")[0],
        transformers=transformers.__version__,
    )


def main() -> None:
    arguments = parse_arguments()
    transformers.utils.logging.disable_progress_bar()
    recipe = write_model(arguments.run, arguments.destination)
    losses, counts, texts = measure(arguments.destination, arguments)
    text = card(recipe, arguments.destination, losses, counts, texts, arguments.seed)
    (arguments.destination / "README.md").write_text(text)
    print(text)
    sys.exit(bool(missed(losses, counts)))


if __name__ == "__main__":
    main()
