"""A callback that moves the mask of a SHiRA adapter while a Trainer trains it.

An entry through a swap. *Dropped*: its value, its gradient and Adam's moments are forgotten, and the weight is the
base's again there, bit for bit. *Kept*: all of them stay, at whatever place among the k values. *Grown*: its moments
are zero, but Adam counts the steps of all values together, so its first step after t others has the length

    rate * (1 - b1) / (1 - b1^(t+1)) * sqrt((1 - b2^(t+1)) / (1 - b2))

which is half a rate after 10 steps, one after 100, and 3.2 in the end.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.storage.load import read_tensors
from shira_lab.layers import AdapterLayer, ShiraAdapter
from shira_lab.training.moving.film import Film
from shira_lab.training.moving.gradients import DenseGradients
from shira_lab.training.moving.schedule import Schedule
from shira_lab.training.settings import Settings

STATE_NAME = "moving_mask.safetensors"


class MovingMask(TrainerCallback, ABC):
    """Moves the masks of the active adapter of ``trained``; a subclass says when and where to.

    Args:
        trained: a model whose active adapter is a SHiRA adapter.
        settings: of the run; its ``steps`` are those of the Trainer.
        film: is given a frame after each swap; a mask that is chosen anew more often has one as often.

    Raises:
        ConfigError: when gradients are needed of a layer that can have none; nothing has changed then.
    """

    def __init__(self, trained: PeftModel, settings: Settings, film: Film | None = None) -> None:
        self.schedule = Schedule(settings.steps, settings.swap_every, settings.swap_share)
        self.name, self.film = trained.active_adapter, film
        self.layers = {
            path: layer for path, layer in trained.base_model.adapter_layers() if self.name in layer.adapters
        }
        looks = any(map(self.looks, range(1, settings.steps + 1)))
        self.gradients = DenseGradients(self.layers if looks else {})

    @abstractmethod
    def looks(self, step: int) -> bool:
        """Whether the gradients of this step are looked at."""

    @abstractmethod
    def acts(self, step: int) -> bool:
        """Whether the masks are chosen anew after this step."""

    @abstractmethod
    def move(self, path: str, layer: AdapterLayer, gradient: Tensor | None, step: int, optimizer: Optimizer) -> None:
        """Choose anew for one layer; ``gradient`` (mn,) is the sum of those looked at since, None where none was."""

    # ---- what the Trainer calls -------------------------------------------------------------------------------------

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.looks(state.global_step + 1):
            self.gradients.look()

    @torch.no_grad()
    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        step = state.global_step + 1
        self.gradients.rest()
        if self.acts(step):
            for path, layer in self.layers.items():
                gradient = self.gradients.take(path)
                if gradient is None or bool(gradient.isfinite().all()):  # else the run has diverged
                    self.move(path, layer, gradient, step, others["optimizer"])
        if self.film is not None and step in self.schedule.swaps:
            self.film.frame(step)

    def adapter(self, layer: AdapterLayer) -> ShiraAdapter:
        adapter = layer.get_adapter(self.name)
        assert isinstance(adapter, ShiraAdapter)
        return adapter

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """What a resumed run needs to go on as if nothing had happened, by name."""
        found = {f"{path}.gradient": total for path, total in self.gradients.sums.items()}
        return found if self.film is None else found | self.film.tensors()

    def take_in(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` gave."""
        self.gradients.sums = {
            name.removesuffix(".gradient"): total for name, total in tensors.items() if name.endswith(".gradient")
        }
        if self.film is not None:
            self.film.take_in(tensors)

    def save(self, folder: Path) -> None:
        """Write :meth:`tensors` into a checkpoint's folder."""
        save_file(self.tensors(), folder / STATE_NAME)

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            StorageError: when it is not there.
        """
        found = read_tensors(folder / STATE_NAME)  # by the path of a layer, and what it is
        devices = {name: self.layers[name.rpartition(".")[0]].weight.device for name in found}
        self.take_in({name: tensor.to(devices[name]) for name, tensor in found.items()})
