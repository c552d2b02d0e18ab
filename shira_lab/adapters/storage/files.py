"""Files that are whole or not there: written beside, flushed, renamed. Reading ends in the content or a clear error."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shira_lab.errors import StorageError


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
    """Write ``content`` into a new file beside ``path``, flushed to the disk, and return that file.

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
def writing(path: Path) -> Iterator[None]:
    """Inside, what the system refuses becomes a :class:`StorageError` that names ``path``."""
    try:
        yield
    except (OSError, ValueError) as error:  # a ValueError for a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"Could not write {path}: {reason}. What was there is unchanged.") from None


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
