"""Files that are whole or not there, and an adapter's folder, which holds the old adapter or the new one.

A file is written under another name, flushed to the disk, and renamed. An adapter has two files that change together,
and two renames cannot be made one. The new config therefore waits under a name that holds the SHA-256 of its tensors:

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
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from shira_lab.errors import StorageError

WEIGHTS_NAME = "adapter_model.safetensors"
COMPACT_NAME = "adapter_compact.safetensors"
PICKLE_NAME = "adapter_model.bin"
#: In the order in which they are looked for; an adapter has one of them.
TENSOR_FILES = (WEIGHTS_NAME, COMPACT_NAME, PICKLE_NAME)
CONFIG_NAME = "adapter_config.json"
CARD_NAME = "README.md"
_WAITING = re.compile(rf"\.{re.escape(CONFIG_NAME)}\.([0-9a-f]{{64}})")
_LEFT_OVER = re.compile(rf"\.({'|'.join(map(re.escape, (CARD_NAME, CONFIG_NAME, *TENSOR_FILES)))})\..+")


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a crash at any moment leaves the old file or the new one, whole.

    Raises:
        StorageError: when the folder cannot be written; what was there is untouched.
    """
    temporary = write_beside(path, content)
    try:
        with writing(path):
            os.replace(temporary, path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_beside(path: Path, content: bytes) -> Path:
    """Write ``content`` into a new file in the folder of ``path``, flush it to the disk, and return its path.

    Raises:
        StorageError: when the folder cannot be written; nothing is left behind.
    """
    temporary: str | None = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
    except BaseException:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise
    return Path(temporary)


@contextlib.contextmanager
def writing(path: Path, now: str = "What was there is unchanged.") -> Iterator[None]:
    """Inside, what the system refuses becomes a :class:`StorageError` that names ``path`` and says how things are."""
    try:
        yield
    except (OSError, ValueError) as error:  # a ValueError for a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"Could not write {path}: {reason}. {now}") from None


def read_bytes(path: Path) -> bytes:
    """The content of the regular file at ``path``.

    Raises:
        StorageError: when it is missing, not a regular file, or cannot be read.
    """
    if not path.exists():
        raise StorageError(f"There is no {path.name} in {path.parent}; is this the folder of a saved adapter?")
    if not path.is_file():
        raise StorageError(f"{path} is not a regular file.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"Could not read {path}: {error.strerror or error}.") from None


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``.

    Raises:
        StorageError: when the file cannot be read or does not hold one JSON object.
    """
    read = read_bytes(path)
    try:
        content = json.loads(read)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{path} is not valid JSON ({error}); the file may be cut off.") from None
    if not isinstance(content, dict):
        raise StorageError(f"{path} should hold one JSON object; it holds a {type(content).__name__}.")
    return content


def sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system lets folders be synced."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Some network file systems refuse; the file is in its place all the same.
            with contextlib.suppress(OSError):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---- an adapter's folder ---------------------------------------------------------------------------------------------


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
        StorageError: when it cannot be written; its message says which of the two adapters is there.
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
    with writing(folder / CONFIG_NAME, "The new adapter is there and is read; save again to tidy up."):
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
