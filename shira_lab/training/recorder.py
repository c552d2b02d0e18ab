"""Streams a run into its :class:`~shira_lab.training.history.History`; ends it when it is stopped or has diverged."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from shira_lab.adapters.model import PeftModel
from shira_lab.layers import AdapterLayer, ShiraAdapter
from shira_lab.training.history import EvalPoint, History, StepPoint
from shira_lab.training.probe import Probe

EVENT_SECONDS = 0.2  # shortest time between two events: redrawing more often than this slows training, unseen


class Recorder(TrainerCallback):
    """Records every step, measures every ``eval_every`` steps, and reports to a listener.

    What was learned is kept aside at each measurement. When a loss is not finite, training stops and that is put back.

    Args:
        on_event: called with the history when something was added, at most every ``EVENT_SECONDS``.
        should_stop: asked after each step; True ends training with what was learned.
    """

    def __init__(
        self,
        history: History,
        probe: Probe,
        on_event: Callable[[History], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.history, self.probe = history, probe
        self._on_event, self._should_stop = on_event, should_stop
        self._began = time.monotonic() - history.seconds
        self._last_event = -math.inf
        self._kept: list[Tensor] = []
        self._kept_masks: list[tuple[AdapterLayer, Tensor]] = []
        self._kept_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._keep(state.global_step)
        if state.global_step == 0:
            self.history.controls = self.probe.controls()
            self._measure(0, control)
        return control

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> TrainerControl:
        if "loss" not in logs:  # the summary that ends a run
            return control
        step = state.global_step
        if not math.isfinite(logs["loss"]):
            return self._give_up(f"The training loss of step {step} is {logs['loss']}", control)
        self.history.steps.append(StepPoint(step, logs["loss"], time.monotonic() - self._began))
        stopped = self._should_stop is not None and _anyone(self._should_stop(), args.device)
        if stopped:
            control.should_training_stop = control.should_save = True
        if stopped or step == state.max_steps or step % self.history.settings.eval_every == 0:
            self._measure(step, control)
        self.report()
        return control

    def report(self, now: bool = False) -> None:
        """Call the listener, unless it was called a moment ago."""
        if self._on_event and (now or time.monotonic() - self._last_event >= EVENT_SECONDS):
            self._on_event(self.history)
            self._last_event = time.monotonic()

    def _measure(self, step: int, control: TrainerControl) -> None:
        point: EvalPoint = self.probe.loss(step)
        if not math.isfinite(point.loss):
            self._give_up(f"The held-out loss after step {step} is {point.loss}", control)
            return
        reference = self.probe.reference_loss(step)
        if reference is not None and not math.isfinite(reference.loss):
            self._give_up(f"The loss on the reference world after step {step} is {reference.loss}", control)
            return
        self.history.evals.append(point)
        self.history.reference += [reference] if reference else []
        if self.history.swaps and self.history.swaps[-1].step > self.history.controls[-1].step:
            self.history.controls += self.probe.controls(step)
        ranks, pictures = self.probe.updates(step)
        self.history.ranks += ranks
        self.history.pictures += pictures
        self.history.samples.append(self.probe.text(step))
        self._keep(step)
        self.report(now=True)

    def _keep(self, step: int) -> None:
        self._kept, self._kept_step = [p.detach().clone() for p in self._parameters()], step
        self._kept_masks = [(layer, adapter.positions) for layer, adapter in self._masks()]

    @torch.no_grad()
    def _give_up(self, reason: str, control: TrainerControl) -> TrainerControl:
        for layer, positions in self._kept_masks:
            layer.set_positions(layer.active_adapters[0], positions)
        for parameter, kept in zip(self._parameters(), self._kept, strict=True):
            parameter.copy_(kept)
        rate = self.history.settings.learning_rate
        assert rate is not None
        self.history.status = "diverged"
        self.history.message = (
            f"{reason}: training has diverged and stopped; what was learned up to step {self._kept_step} is kept. Try "
            f"a smaller learning rate than {rate:g}, for instance {rate / 3:.1g}."
        )
        control.should_training_stop, control.should_save = True, False
        return control

    def _masks(self) -> list[tuple[AdapterLayer, ShiraAdapter]]:
        """The layers with a SHiRA adapter that trains, and the adapters."""
        trained = self.probe.trained
        layers = [layer for _, layer in trained.base_model.adapter_layers()] if isinstance(trained, PeftModel) else []
        adapters = [(layer, layer.get_adapter(layer.active_adapters[0])) for layer in layers]
        return [(layer, adapter) for layer, adapter in adapters if isinstance(adapter, ShiraAdapter)]

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.probe.trained.parameters() if parameter.requires_grad]


def _anyone(stop: bool, device: torch.device) -> bool:
    """Whether any of the processes wants to stop: they must all leave after the same step."""
    if not torch.distributed.is_initialized():
        return stop
    wishes = torch.tensor(int(stop), device=device)
    torch.distributed.all_reduce(wishes)
    return bool(wishes)
