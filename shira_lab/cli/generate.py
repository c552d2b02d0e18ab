"""``shira-lab generate``: let a model generate a text, with an adapter or without."""

import argparse
from pathlib import Path

from shira_lab.training.settings import Settings, settings_of


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    prompt = Settings().prompt
    command = commands.add_parser("generate", help="let a model generate a text, with an adapter or without")
    command.add_argument("--model", default="embedded", help=settings_of(Settings)["model"].help)
    command.add_argument("--adapter", type=Path, help="folder of an adapter; without it, the base model generates")
    command.add_argument("--prompt", default=prompt, help=f"beginning of the text (default: {prompt})")
    command.add_argument("--seed", type=int, default=0, help="another seed, another text (default: 0)")
    command.add_argument(
        "--temperature", type=float, default=1.0, help="0 always takes the likeliest word (default: 1)"
    )
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    from shira_lab.adapters.model import PeftModel
    from shira_lab.models.hub import load_model
    from shira_lab.training.evaluate import sample

    model, tokenizer = load_model(asked.model)
    if asked.adapter is not None:
        model = PeftModel.from_pretrained(model, asked.adapter)
    print(sample(model, tokenizer, prompt=asked.prompt, seed=asked.seed, temperature=asked.temperature)[0])
    return 0
