"""Pretrain the embedded model on texts that are made on the way: meadow tales, almanac notices, inventories.

Run it again to resume: the texts of a step depend on its number alone, and the checkpoint holds the rest, so
an interrupted run goes on bit for bit (same machine, same threads). With more `--steps` a finished run goes on, too:
the learning rate rises to where a run of that length would be. `scripts/export.py` ships the result.

    python scripts/pretrain.py runs/base
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast

from shira_lab.training.data import collate, encode
from shira_lab.training.tokenizer import word_tokenizer
from shira_lab.training.worlds import WORLDS
from shira_lab.training.worlds.grammar import Teller

# Share of each world at the first step and from SETTLED on: copying is practised early, meadow tales later.
MIXTURE = {"meadow": (0.50, 0.80), "almanac": (0.15, 0.10), "inventory": (0.35, 0.10)}
SETTLED = 0.4  # of the steps
LOG_EVERY = 50  # steps


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the tokenizer, checkpoint and log")
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--batch-size", type=int, default=16, help="texts a step")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="peak of a linear rise and decay")
    parser.add_argument("--warm-up", type=int, default=200, help="steps of the rise")
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and the texts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint-every", type=int, default=250, help="steps")
    return parser.parse_args()


def load_tokenizer(arguments: argparse.Namespace) -> PreTrainedTokenizerFast:
    """The run's tokenizer; the first call makes it of 4,000 texts of each world."""
    folder = arguments.run / "tokenizer"
    if not folder.exists():
        stories = (world.stories(4000, split="tokenizer") for world in WORLDS.values())
        texts = (story.text for world_stories in stories for story in world_stories)
        word_tokenizer(texts).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def build_model(arguments: argparse.Namespace, tokenizer: PreTrainedTokenizerFast) -> OPTForCausalLM:
    """An untrained OPT of the run's size."""
    config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=arguments.hidden,
        word_embed_proj_dim=arguments.hidden,
        ffn_dim=4 * arguments.hidden,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.heads,
        max_position_embeddings=256,
        dropout=0.0,
        attention_dropout=0.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(arguments.seed)
    return OPTForCausalLM(config)


def texts_of_step(step: int, arguments: argparse.Namespace) -> list[str]:
    """The texts of one step, told nowhere else: their worlds and words follow from the step and the row."""
    progress = min(1.0, step / (SETTLED * arguments.steps))
    shares = [first + (last - first) * progress for first, last in MIXTURE.values()]
    texts = []
    for row in range(arguments.batch_size):
        place = f"{arguments.seed}/{step}/{row}"
        world = Teller(f"mixture/{place}").choose(list(MIXTURE), shares)
        texts.append(WORLDS[world].story(f"pretrain/{place}").text)
    return texts


def learning_rate(step: int, arguments: argparse.Namespace) -> float:
    """Linear from 0 to the peak, then linear to 0."""
    rise = (step + 1) / arguments.warm_up
    decay = (arguments.steps - step) / (arguments.steps - arguments.warm_up)
    return arguments.learning_rate * min(rise, decay)


class Run:
    """A model in training: what a checkpoint holds."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.tokenizer = load_tokenizer(arguments)
        self.model = build_model(arguments, self.tokenizer)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
        self.counters: dict[str, Any] = {"step": 0, "tokens": 0, "seconds": 0.0}
        self.checkpoint = arguments.run / "checkpoint.pt"
        self.log = arguments.run / "log.jsonl"

    def restore(self) -> None:
        """Go back to the last checkpoint, if there is one."""
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.counters = state["counters"]

    def trim_log(self) -> None:
        """Drop what was logged after the checkpoint that the run goes on from."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= self.counters["step"]]
        self.log.write_text("".join(f"{line}\n" for line in kept))

    def save(self) -> None:
        """Write beside the old checkpoint, then replace it: an interruption leaves one of the two whole."""
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        part = self.checkpoint.with_suffix(".part")
        torch.save(state | {"counters": self.counters}, part)
        part.replace(self.checkpoint)

    def step(self) -> dict[str, float]:
        """One update; returns its line of the log."""
        started = time.monotonic()
        rate = learning_rate(self.counters["step"], self.arguments)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        texts = texts_of_step(self.counters["step"], self.arguments)
        batch = collate(encode(self.tokenizer, texts), self.tokenizer.pad_token_id)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.model(**batch, use_cache=False).loss
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.counters["step"] += 1
        self.counters["tokens"] += int(batch["attention_mask"].sum())
        self.counters["seconds"] += time.monotonic() - started
        seconds = round(self.counters["seconds"], 1)
        return {**self.counters, "seconds": seconds, "loss": round(loss.item(), 4), "learning_rate": round(rate, 8)}


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    arguments.run.mkdir(parents=True, exist_ok=True)
    recipe = {name: value for name, value in vars(arguments).items() if name != "run"} | {"mixture": MIXTURE}
    (arguments.run / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n")
    run = Run(arguments)
    run.restore()
    run.trim_log()
    progress = tqdm(total=arguments.steps, initial=run.counters["step"], unit="step", mininterval=1.0)
    while run.counters["step"] < arguments.steps:
        line = run.step()
        progress.update()
        if line["step"] % LOG_EVERY == 0:
            progress.set_postfix(loss=line["loss"])
            with run.log.open("a") as log:
                log.write(json.dumps(line) + "\n")
        if line["step"] % arguments.checkpoint_every == 0 or line["step"] == arguments.steps:
            run.save()
    progress.close()


if __name__ == "__main__":
    main()
