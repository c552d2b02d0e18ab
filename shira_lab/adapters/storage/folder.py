"""An adapter's folder: two files that change together, so that a crash leaves the old adapter or the new one.

Two renames cannot be made one. The new config therefore waits under a name that holds the SHA-256 of its tensors:

    1. .adapter_config.json.<digest>   the new config, waiting
    2. adapter_model.safetensors       the new tensors take the old ones' place: from now on the new adapter is read
    3. (other forms of the tensors)    removed
    4. adapter_config.json             the waiting config takes the old one's place

After a crash before 2 the waiting config fits no tensors and is passed over; after one between 2 and 4 it fits, and is
read in the old one's stead. Reading changes nothing; the next save tidies up.
"""

import contextlib
import hashlib
import io
import os
import re
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from shira_lab.adapters.storage.files import sync_folder, write_beside, writing

WEIGHTS_NAME = "adapter_model.safetensors"
COMPACT_NAME = "adapter_compact.safetensors"
PICKLE_NAME = "adapter_model.bin"
#: In the order in which they are looked for; an adapter has one of them.
TENSOR_FILES = (WEIGHTS_NAME, COMPACT_NAME, PICKLE_NAME)
CONFIG_NAME = "adapter_config.json"
CARD_NAME = "README.md"
_WAITING = re.compile(rf"\.{re.escape(CONFIG_NAME)}\.([0-9a-f]{{64}})")
_LEFT_OVER = re.compile(rf"\.({'|'.join(map(re.escape, (CARD_NAME, CONFIG_NAME, *TENSOR_FILES)))})\..+")


def encode(tensors: dict[str, Tensor], name: str) -> bytes:
    """The content of a file of this name with these tensors."""
    if name != PICKLE_NAME:
        return safetensors.torch.save(tensors, metadata={"format": "pt"})
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def write_folder(folder: Path, file: str, tensors: bytes, config: bytes) -> None:
    """Make ``folder`` hold this adapter and no other; ``file`` is the name of the tensors' file.

    Raises:
        StorageError: when it cannot be written; what was there is unchanged.
    """
    new_tensors = write_beside(folder / file, tensors)
    try:
        new_config = write_beside(folder / CONFIG_NAME, config)
        with writing(folder / file):
            waiting = folder / f".{CONFIG_NAME}.{hashlib.sha256(tensors).hexdigest()}"
            os.replace(new_config, waiting)
            sync_folder(folder)
            os.replace(new_tensors, folder / file)
            sync_folder(folder)
    finally:
        new_tensors.unlink(missing_ok=True)
    with writing(folder / CONFIG_NAME):
        for other in set(TENSOR_FILES) - {file}:
            (folder / other).unlink(missing_ok=True)
        os.replace(waiting, folder / CONFIG_NAME)
        sync_folder(folder)
    for path in folder.iterdir():
        if _LEFT_OVER.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def find_files(folder: Path) -> tuple[Path, Path]:
    """The config and the tensors of the adapter in ``folder``; their usual names where there are none."""
    waiting = {match[1]: path for path in folder.glob(".*") if (match := _WAITING.fullmatch(path.name))}
    for tensors in [folder / name for name in TENSOR_FILES if waiting and (folder / name).is_file()]:
        with tensors.open("rb") as file:
            config = waiting.get(hashlib.file_digest(file, "sha256").hexdigest())
        if config:
            return config, tensors
    found = next((name for name in TENSOR_FILES if (folder / name).exists()), WEIGHTS_NAME)
    return folder / CONFIG_NAME, folder / found
