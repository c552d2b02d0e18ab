"""``shira-lab tell``: let a model tell a story, with an adapter or without."""

import argparse
from pathlib import Path

from shira_lab.training.settings import Settings, settings_of


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    prompt = Settings().prompt
    tell = commands.add_parser("tell", help="let a model tell a story, with an adapter or without")
    tell.add_argument("--model", default="embedded", help=settings_of(Settings)["model"].help)
    tell.add_argument("--adapter", type=Path, help="folder of an adapter; without it, the base model tells")
    tell.add_argument("--prompt", default=prompt, help=f"beginning of the story (default: {prompt})")
    tell.add_argument("--seed", type=int, default=0, help="another seed, another story (default: 0)")
    tell.add_argument("--temperature", type=float, default=1.0, help="0 always takes the likeliest word (default: 1)")
    tell.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    from shira_lab.adapters.model import PeftModel
    from shira_lab.models.hub import load_model
    from shira_lab.training.evaluate import sample

    model, tokenizer = load_model(asked.model)
    if asked.adapter is not None:
        model = PeftModel.from_pretrained(model, asked.adapter)
    print(sample(model, tokenizer, prompt=asked.prompt, seed=asked.seed, temperature=asked.temperature)[0])
    return 0
