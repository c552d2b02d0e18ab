"""The trainings that a page replays: those of the embedded model that were recorded for it, and of a real one."""

from dataclasses import asdict
from importlib.resources import as_file
from typing import Any

from shira_lab.course.pages.recorded_data import RECORDED
from shira_lab.course.pages.recording import Recording
from shira_lab.course.recorded import recorded
from shira_lab.course.widgets.fine_tune_lab import SettingsState
from shira_lab.models.hub import EMBEDDED
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
    return {
        **content,
        "name": f"{settings.label} on {where}, world {settings.world}",
        "label": settings.label,
        "state": lab_state(settings),
    }


def lab_state(settings: Settings) -> dict[str, Any]:
    """The state of the lab whose Run has these settings."""
    state = {}
    for name in SettingsState.class_traits(state=True):
        value = getattr(settings, name)
        nothing = settings_of(Settings)[name].nothing
        state[name] = nothing if value is None else ", ".join(value) if isinstance(value, tuple) else value
    return state
