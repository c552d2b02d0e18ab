"""Whether a folder of the local cache holds a whole model, or only what a broken download left there."""

import json
from collections.abc import Iterable
from pathlib import Path

# Each line is one way to write a tokenizer down; a name with * stands for any file that matches.
TOKENIZERS = (("tokenizer.json",), ("*.model",), ("vocab.txt",), ("vocab.json", "merges.txt"))
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def is_whole(folder: Path) -> bool:
    """Whether configuration, tokenizer and all weights are there; a link that leads nowhere is no file."""
    return (
        (folder / "config.json").is_file()
        and any(_all_there(folder, kind) for kind in TOKENIZERS)
        and any(_has_weights(folder, name) for name in WEIGHTS)
    )


def _has_weights(folder: Path, name: str) -> bool:
    """Whether the weights are there in one file, or in every file that their index lists."""
    if (folder / name).is_file():
        return True
    try:
        index = json.loads((folder / f"{name}.index.json").read_text(encoding="utf-8"))
        return _all_there(folder, set(index["weight_map"].values()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # no index, or half of one
        return False


def _all_there(folder: Path, names: Iterable[str]) -> bool:
    return all(any(file.is_file() for file in folder.glob(name)) for name in names)
