"""The trainings that a page replays: those of the embedded model that were recorded for it, and of a real one."""

from base64 import b64decode, b64encode
from dataclasses import asdict, replace
from importlib.resources import as_file
from typing import Any

import numpy as np

from shira_lab.course.pages.recorded_data import RECORDED
from shira_lab.course.pages.recording import Recording
from shira_lab.course.recorded import recorded
from shira_lab.course.widgets.fine_tune_lab import SettingsState
from shira_lab.models.hub import EMBEDDED
from shira_lab.training.history import PicturePoint
from shira_lab.training.settings import Settings, settings_of


def training_data() -> list[dict[str, Any]]:
    """Each run with its ``name``, ``machine``, ``day`` and ``history``, and the ``state`` of a lab for it."""
    return [_entry(recording) for recording in recordings()]


def recordings() -> list[Recording]:
    """All of them, the embedded model's first."""
    own = []
    for path in sorted(RECORDED.iterdir(), key=lambda path: path.name):
        if path.name.startswith("training-"):
            with as_file(path) as file:
                own.append(Recording.load(file))
    return [*own, *(Recording(recorded(world)) for world in ("sea", "python"))]


def _entry(recording: Recording) -> dict[str, Any]:
    settings = recording.history.settings
    where = settings.model if settings.model != EMBEDDED else "the embedded model"
    content = asdict(recording)
    del content["history"]["settings"]
    content["history"]["pictures"] = [asdict(_smaller(picture)) for picture in recording.history.pictures]
    return {
        **content,
        "name": f"{settings.label} on {where}, world {settings.world}",
        "label": settings.label,
        "state": lab_state(settings),
    }


def _smaller(picture: PicturePoint) -> PicturePoint:
    """The picture with a tile for every two by two, which has the largest of them."""
    levels = np.frombuffer(b64decode(picture.levels), dtype=np.uint8).reshape(picture.shape)
    levels = np.pad(levels, [(0, side % 2) for side in picture.shape])
    rows, columns = levels.shape[0] // 2, levels.shape[1] // 2
    tiles = levels.reshape(rows, 2, columns, 2).max(axis=(1, 3))
    return replace(picture, shape=(rows, columns), levels=b64encode(tiles.tobytes()).decode())


def lab_state(settings: Settings) -> dict[str, Any]:
    """The state of the lab whose Run has these settings."""
    state = {}
    for name in SettingsState.class_traits(state=True):
        value = getattr(settings, name)
        nothing = settings_of(Settings)[name].nothing
        state[name] = nothing if value is None else ", ".join(value) if isinstance(value, tuple) else value
    return state
