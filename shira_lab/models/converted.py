"""The model of a GGUF file in the user's cache: converted once, and there as a whole or not at all."""

import hashlib
import os
import shutil
from pathlib import Path

from filelock import FileLock
from huggingface_hub import constants

from shira_lab.adapters.storage.files import sync_folder, writing
from shira_lab.errors import ShiraError
from shira_lab.models.download import Progress


def digest_of(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits.

    Raises:
        ShiraError: the file cannot be read.
    """
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ShiraError(f"Could not read {file}: {error.strerror or error}.") from None


def folder_for(digest: str) -> Path:
    """Where the model of a file with this content lies once it is converted."""
    return Path(constants.HF_ASSETS_CACHE) / "shira-lab" / "gguf" / digest


def converted(file: Path, digest: str, on_progress: Progress) -> Path:
    """The folder of the model in ``file``; of two processes that want it, one converts and the other waits.

    Raises:
        ShiraError: as :func:`~shira_lab.models.gguf_convert.convert`, or the cache cannot be written.
    """
    folder = folder_for(digest)
    if folder.is_dir():
        return folder
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_suffix(".lock"))
        lock.acquire()
    try:
        if not folder.is_dir():
            _convert(file, folder, on_progress)
    finally:
        lock.release()
    return folder


def _convert(file: Path, folder: Path, on_progress: Progress) -> None:
    from shira_lab.models.gguf_convert import convert  # now, as gguf takes a second to import

    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        with writing(part):
            part.mkdir()
        convert(file, part, on_progress)
        with writing(folder):
            for written in part.iterdir():
                with written.open("rb+") as content:
                    os.fsync(content.fileno())
            part.rename(folder)
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)
