"""The checkpoints of a run: which is the last whole one, and whether it may be continued with these settings."""

import dataclasses
import shutil
from pathlib import Path

from shira_lab.adapters.storage.files import read_json
from shira_lab.errors import ConfigError, StorageError
from shira_lab.training.history import History
from shira_lab.training.settings import Settings

FOLDER = "checkpoints"
HISTORY_NAME = "history.json"
_WRITTEN_LAST = "trainer_state.json"


def last_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of ``run`` that was written to its end, or None."""
    folders = sorted((run / FOLDER).glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return next((folder for folder in reversed(folders) if _is_whole(folder)), None)


def checkpoint_to_resume(run: Path) -> tuple[Path, History]:
    """The newest checkpoint of ``run`` and the history up to it.

    Raises:
        StorageError: when there is none.
    """
    checkpoint = last_checkpoint(run)
    if checkpoint is None:
        raise StorageError(
            f"{run} holds no run that could be resumed: it has no checkpoint. Start it without resuming."
        )
    return checkpoint, History.load(checkpoint / HISTORY_NAME)


def check_new(run: Path) -> None:
    """Raise StorageError when ``run`` holds an unfinished run, which a new one would overwrite."""
    checkpoint = last_checkpoint(run)
    if checkpoint is not None:
        raise StorageError(
            f"{run} holds an unfinished run ({checkpoint.name}). Resume it, choose another folder, or delete "
            f"{run / FOLDER}."
        )


def check_same(asked: Settings, recorded: Settings) -> None:
    """Raise ConfigError when a run would be continued with other settings: its numbers would be those of neither."""
    for field in dataclasses.fields(Settings):
        new, old = getattr(asked, field.name), getattr(recorded, field.name)
        if new != old:
            raise ConfigError(
                f"`{field.name}` is {new!r}, but the run was started with {old!r}. Resume it with the settings it was "
                "started with, or start a new run in another folder."
            )


def remove_checkpoints(run: Path) -> None:
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def _is_whole(checkpoint: Path) -> bool:
    try:
        read_json(checkpoint / _WRITTEN_LAST)
    except StorageError:
        return False
    return True
