"""What the commands over saved adapters share: which model they are for, and reading them onto it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from shira_lab.adapters.config import AdapterConfig
from shira_lab.errors import ShiraError

if TYPE_CHECKING:
    from shira_lab.adapters.model import PeftModel

#: Files by which the folder of an adapter, of a run or of a model is known.
RESULTS = ("adapter_config.json", "history.json", "config.json")


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("adapters", nargs="+", type=Path, metavar="ADAPTER", help="folder of a saved adapter")
    command.add_argument("--model", help="the model they are for (default: the one that the first adapter names)")


def add_out(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, required=True, help="folder of the result")
    command.add_argument("--overwrite", action="store_true", default=False, help="replace a result that is there")


def check_out(asked: argparse.Namespace) -> None:
    """Raise ShiraError when the folder of the result holds one already, unless it may be replaced."""
    there = [name for name in RESULTS if (asked.out / name).exists()]
    if there and not asked.overwrite:
        raise ShiraError(
            f"{asked.out} holds a result already ({', '.join(there)}): choose another folder, or replace it with "
            "--overwrite."
        )


def load_adapters(asked: argparse.Namespace) -> tuple["PeftModel", list[str]]:
    """The base model with the adapters on it, and their names there, in the order asked for.

    Raises:
        ShiraError: when no base model is known or it cannot be loaded, or an adapter does not fit it.
    """
    import shira_lab.training.ways  # noqa: F401, its adapters can be read from here on
    from shira_lab.adapters.model import PeftModel
    from shira_lab.models.hub import load_model

    base = asked.model or AdapterConfig.from_pretrained(asked.adapters[0]).base_model_name_or_path
    if base is None:
        raise ShiraError(
            f"{asked.adapters[0]} does not name the model it is for, whose shapes its positions need: give --model."
        )
    model = PeftModel(load_model(base)[0])
    names = [f"adapter{number}" for number in range(1, len(asked.adapters) + 1)]
    for name, folder in zip(names, asked.adapters, strict=True):
        model.load_adapter(folder, name)
    return model, names
