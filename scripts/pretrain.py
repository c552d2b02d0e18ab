"""Pretrain the embedded model on texts told on the fly: meadow tales, almanac notices, inventories.

Run it again to resume: the texts of a step depend on its number alone, and the checkpoint holds the rest, so an
interrupted run goes on bit for bit (same machine, same threads). `scripts/export.py` ships a checkpoint.

    python scripts/pretrain.py runs/base
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast

from shira_lab.training.data import collate, encode
from shira_lab.training.tokenizer import train_tokenizer
from shira_lab.worlds import WORLDS
from shira_lab.worlds.grammar import Teller

# Share of each world in a batch, at the first and at the last step: copying is practised early, meadow tales at the end.
MIXTURE = {"meadow": (0.50, 0.80), "almanac": (0.15, 0.10), "inventory": (0.35, 0.10)}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the tokenizer, checkpoint and log")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--batch-size", type=int, default=16, help="texts a step")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="peak; linear warm-up, linear decay to 0")
    parser.add_argument("--warm-up", type=int, default=200, help="steps")
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and the texts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint-every", type=int, default=250, help="steps")
    return parser.parse_args()


def load_tokenizer(arguments: argparse.Namespace) -> PreTrainedTokenizerFast:
    """The run's tokenizer; the first call trains it on 4,000 texts of each world."""
    folder = arguments.run / "tokenizer"
    if not folder.exists():
        texts = (story.text for world in WORLDS.values() for story in world.stories(4000, split="tokenizer"))
        train_tokenizer(texts, arguments.vocabulary).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def build_model(arguments: argparse.Namespace, tokenizer: PreTrainedTokenizerFast) -> OPTForCausalLM:
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
    """The texts of one step, never repeated: which world each comes from, and the text, follow from step and row."""
    progress = step / arguments.steps
    shares = [first + (last - first) * progress for first, last in MIXTURE.values()]
    texts = []
    for row in range(arguments.batch_size):
        place = f"{arguments.seed}/{step}/{row}"
        world = Teller(f"mixture/{place}").choose(list(MIXTURE), shares)
        texts.append(WORLDS[world].tell(f"pretrain/{place}").text)
    return texts


def learning_rate(step: int, arguments: argparse.Namespace) -> float:
    warm = (step + 1) / arguments.warm_up
    decay = (arguments.steps - step) / (arguments.steps - arguments.warm_up)
    return arguments.learning_rate * min(warm, decay)


def save_checkpoint(path: Path, state: dict) -> None:
    """Write beside the old checkpoint, then replace it: an interruption leaves one of the two whole."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def resume(arguments: argparse.Namespace, model: OPTForCausalLM, optimizer: torch.optim.Optimizer) -> dict:
    """Restore the last checkpoint, drop later lines of the log, and return the counters."""
    path, log = arguments.run / "checkpoint.pt", arguments.run / "log.jsonl"
    if not path.exists():
        log.write_text("")
        return {"step": 0, "tokens": 0, "seconds": 0.0}
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= state["counters"]["step"]]
    log.write_text("".join(f"{line}\n" for line in lines))
    return state["counters"]


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    arguments.run.mkdir(parents=True, exist_ok=True)
    recipe = {name: value for name, value in vars(arguments).items() if name != "run"} | {"mixture": MIXTURE}
    (arguments.run / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n")
    tokenizer = load_tokenizer(arguments)
    model = build_model(arguments, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    counters = resume(arguments, model, optimizer)
    started = time.monotonic() - counters["seconds"]
    progress = tqdm(range(counters["step"], arguments.steps), initial=counters["step"], total=arguments.steps)
    with (arguments.run / "log.jsonl").open("a") as log:
        for step in progress:
            rate = learning_rate(step, arguments)
            for group in optimizer.param_groups:
                group["lr"] = rate
            batch = collate(encode(tokenizer, texts_of_step(step, arguments)), tokenizer.pad_token_id)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model(**batch, use_cache=False).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            counters["step"] = step + 1
            counters["tokens"] += int(batch["attention_mask"].sum())
            counters["seconds"] = time.monotonic() - started
            if counters["step"] % 50 == 0:
                line = {**counters, "loss": round(loss.item(), 4), "learning_rate": round(rate, 6)}
                line["seconds"] = round(line["seconds"], 1)
                log.write(json.dumps(line) + "\n")
                log.flush()
                progress.set_postfix(loss=line["loss"], tokens=line["tokens"])
            if counters["step"] % arguments.checkpoint_every == 0 or counters["step"] == arguments.steps:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "counters": counters}
                save_checkpoint(arguments.run / "checkpoint.pt", state)


if __name__ == "__main__":
    main()
