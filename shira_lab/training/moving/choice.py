"""Which callback moves the mask of a run, if any does."""

from shira_lab.adapters.model import PeftModel
from shira_lab.training.history import History
from shira_lab.training.methods import Trainable, trained_layers
from shira_lab.training.moving.callback import MovingMask
from shira_lab.training.moving.drop_and_grow import DropAndGrow
from shira_lab.training.moving.film import Film
from shira_lab.training.moving.learned import LearnedSelection
from shira_lab.training.probe import watched
from shira_lab.training.settings import Settings


def moving_mask(trained: Trainable, history: History, settings: Settings) -> MovingMask | None:
    """The callback for ``mask_moves``, with a film of the watched layers; None where no mask moves."""
    if settings.mask_moves == "never" or settings.method != "shira":
        return None
    assert isinstance(trained, PeftModel)
    film = Film(history, trained, watched(trained_layers(trained, settings)))
    kind = LearnedSelection if settings.mask_moves == "learned" else DropAndGrow
    return kind(trained, settings, film)
