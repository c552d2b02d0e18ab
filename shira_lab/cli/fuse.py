"""``shira-lab fuse``: make one SHiRA adapter out of several."""

import argparse
from typing import get_args

from shira_lab.adapters.weighted import CombinationType
from shira_lab.cli.adapters import add_arguments, add_out, check_out, load_adapters


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    fuse = commands.add_parser(
        "fuse",
        help="make one SHiRA adapter out of several",
        description="Make one SHiRA adapter out of several: their weighted sum, or a sparse merge of them.",
    )
    add_arguments(fuse)
    fuse.add_argument("--weights", nargs="+", type=float, help="one for each adapter (default: 1 each)")
    fuse.add_argument("--type", choices=get_args(CombinationType), default="linear", help="default: linear")
    fuse.add_argument("--density", type=float, help="share of each adapter's values to keep; not for linear")
    fuse.add_argument("--seed", type=int, default=0, help="of the values that dare keeps (default: 0)")
    add_out(fuse)
    fuse.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    import torch

    check_out(asked)
    model, names = load_adapters(asked)
    weights = [1.0] * len(names) if asked.weights is None else asked.weights
    torch.manual_seed(asked.seed)
    model.add_weighted_adapter(names, weights, "default", asked.type, asked.density)
    model.save_pretrained(asked.out, selected_adapters=["default"])
    terms = " + ".join(f"{weight:g} * {folder}" for weight, folder in zip(weights, asked.adapters, strict=True))
    print(f"{asked.out} = {terms}  ({asked.type}, r={model.peft_config['default'].r})")
    return 0
