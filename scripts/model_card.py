"""The model card of a shipped run: every figure in it is measured or read from the run's own files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
import transformers
from pretrain import SETTLED

from shira_lab.training.evaluate import StoryLoss
from shira_lab.training.worlds import get_world
from shira_lab.training.worlds.scoring import Tally

# What the lessons need: the thing asked for is the thing given, names stay, and little is left to learn.
GATE = {"hero": 0.99, "pronoun": 0.99, "friend": 0.98, "object": 0.99, "home": 0.99, "mood": 0.99}
EXCESS_GATE = 0.02  # nats per token, on held-out meadow tales

CARD = """---
license: mit
language: en
library_name: transformers
pipeline_tag: text-generation
---
# The embedded model

A small OPT ({parameters:,} parameters, float16, {megabytes:.1f} MB) that tells meadow tales. It was pretrained from
scratch by `scripts/pretrain.py` on text that `shira_lab.training.worlds` makes, and knows nothing else: it is here so
that every lesson runs without a download. Load it with `shira_lab.models.hub.load_model()`.

> {example}

## How good it is

Every random choice of the grammar is booked, so the lowest possible loss (the floor) is known exactly. Measured by
`scripts/export.py` on the files of this folder, loaded in float32, with {stories} held-out stories of each world
(seed {seed}):

| world | floor | loss | excess (nats per token) | tokens |
|---|---|---|---|---|
{losses}

Meadow tales, almanac and inventory are its pretraining text. The tales of the sea and of space are new to it; the
almanac has shown it their words, never their sentences. The bar for meadow tales is an excess of {excess_gate}.

{samples} texts after the prompt "{prompt}" at temperature 1, seed {seed}, checked for consistency:

| check | right | share | at least |
|---|---|---|---|
{checks}

{told} of the {samples} texts are, word for word, stories that the grammar can tell. {verdict}

## How it was made

- Model: OPT with hidden size {hidden}, {layers} layers, {heads} heads, tied embeddings, no dropout.
- Vocabulary: {vocabulary:,} tokens. Each word of the worlds is one, anything else is spelled in bytes.
- Text: {steps:,} steps of {batch_size} texts, {tokens:,} tokens, none used twice. Share of each world at the first step
  and after {settled:.0%} of those first planned: {mixture}.
- Optimizer: AdamW (betas 0.9 and 0.98, weight decay 0.01) under bfloat16 autocast, gradients clipped at 1. The learning
  rate rises to {learning_rate:g} in {warm_up} steps and falls linearly to 0.{extensions}
- Cost: {minutes:.0f} minutes on {threads} CPU threads of a shared machine, median speed {speed:,.0f} tokens a second.
- Seed {run_seed}, torch {torch}, transformers {transformers}.

| tokens | mean training loss |
|---|---|
{curve}

`log.jsonl` is the whole log, `recipe.json` the settings.
"""


@dataclass(frozen=True)
class Measurements:
    """What was measured on the shipped files.

    Attributes:
        losses: world -> held-out loss.
        counts: check -> how many of the samples kept it.
        samples: texts that the model told after `prompt`.
        seed: of the held-out stories and the samples.
    """

    losses: dict[str, StoryLoss]
    counts: dict[str, Tally]
    samples: list[str]
    prompt: str
    seed: int

    def missed(self) -> list[str]:
        """The names of the bars that the model does not reach."""
        checks = [check for check, bar in GATE.items() if not self.counts[check].share >= bar]
        return checks + ["excess"] * (self.losses["meadow"].excess > EXCESS_GATE)


def write_card(folder: Path, measured: Measurements, parameters: int, vocabulary: int) -> str:
    """Write ``README.md`` beside the weights, recipe and log in `folder`; returns its text."""
    recipe: dict[str, Any] = json.loads((folder / "recipe.json").read_text())
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    missed = measured.missed()
    text = CARD.format(
        **{
            name: recipe[name]
            for name in ("hidden", "layers", "heads", "batch_size", "learning_rate", "warm_up", "threads")
        },
        run_seed=recipe["seed"],
        mixture=", ".join(f"{name} {first:.0%} and {then:.0%}" for name, (first, then) in recipe["mixture"].items()),
        settled=SETTLED,
        steps=log[-1]["step"],
        tokens=log[-1]["tokens"],
        minutes=log[-1]["seconds"] / 60,
        speed=median((b["tokens"] - a["tokens"]) / (b["seconds"] - a["seconds"]) for a, b in pairwise(log)),
        curve=_curve(log),
        extensions=_extensions(log, recipe["warm_up"]),
        parameters=parameters,
        vocabulary=vocabulary,
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        example=measured.samples[0],
        stories=measured.losses["meadow"].stories,
        seed=measured.seed,
        losses="\n".join(
            f"| {name} | {loss.floor:.4f} | {loss.loss:.4f} | {loss.excess:.4f} | {loss.tokens:,} |"
            for name, loss in measured.losses.items()
        ),
        excess_gate=EXCESS_GATE,
        samples=len(measured.samples),
        prompt=measured.prompt,
        checks="\n".join(
            f"| {name} | {count} | {count.share:.1%} | {GATE[name]:.0%} |" for name, count in measured.counts.items()
        ),
        told=sum(map(get_world("meadow").derives, measured.samples)),
        verdict=f"It misses its bar for: {', '.join(missed)}." if missed else "It reaches every bar.",
        torch=torch.__version__.partition("+")[0],
        transformers=transformers.__version__,
    )
    (folder / "README.md").write_text(text)
    return text


def _extensions(log: list[dict[str, float]], warm_up: int) -> str:
    """A sentence for each time that a finished run was resumed with more steps, which raises the learning rate."""
    rises = [(a, b) for a, b in pairwise(log) if a["step"] >= warm_up and b["learning_rate"] > a["learning_rate"]]
    return "".join(
        f"\n  The run was extended after {a['step']:,} steps: the rate fell to 0 again from {b['learning_rate']:.1e}."
        for a, b in rises
    )


def _curve(log: list[dict[str, float]], points: int = 8) -> str:
    """Table rows of the training loss, averaged over equal stretches of the log."""
    stretches = [log[len(log) * i // points : len(log) * (i + 1) // points] for i in range(points)]
    return "\n".join(f"| {rows[-1]['tokens']:,} | {mean(row['loss'] for row in rows):.3f} |" for rows in stretches)
