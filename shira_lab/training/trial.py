"""The time of a step, tried out before a run: a few steps over its first batch, made as the run will make them.

An adapter is put on, trained, and taken off again. "full" may not touch the model and shall not take the memory of a
run: its gradients are computed and given back one by one, and the optimizer's time is that of some numbers, times how
many more there are, because AdamW goes through its numbers one after the other.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.adapters.model import PeftModel
from shira_lab.masks.function import find_mask, wants_gradient
from shira_lab.training.history import Settings
from shira_lab.training.methods import Trainable, checkpointing, half_precision, make_trainable
from shira_lab.training.parts import texts_at_once
from shira_lab.training.stories import Stories

STEPS = 3  # the first one also finds memory and makes plans
#: Numbers that stand for all those that "full" trains; four times as many bytes, four times over, are in no cache.
STAND_IN = 4_000_000


def seconds_per_step(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> float:
    """The time of one of the run's steps, without the measurements between them; the model stays as it is.

    Raises:
        ShiraError: when the settings do not fit the model.
    """
    stories = Stories(settings, tokenizer)
    rows = range(texts_at_once(model, settings))
    batch = {name: value.to(model.device) for name, value in stories.collate([stories[i] for i in rows]).items()}
    passes, updates = [], []
    with torch.random.fork_rng(), _trainable(model, settings) as (trained, numbers, times):
        optimizer = torch.optim.AdamW(numbers, lr=1e-3, fused=True)  # the Trainer's
        for _ in range(STEPS):
            passes.append(seconds_of(partial(_pass, trained, batch, half_precision(model))))
            updates.append(seconds_of(partial(_update, numbers, optimizer)))
    return median(passes) * settings.gradient_accumulation_steps + median(updates) * times


@contextmanager
def _trainable(model: PreTrainedModel, settings: Settings) -> Iterator[tuple[Trainable, list[nn.Parameter], float]]:
    """Inside, a model in training, numbers that an optimizer may move, and how many times as many the run trains."""
    trains, was_training = {parameter: parameter.requires_grad for parameter in model.parameters()}, model.training
    trained: Trainable = model
    hooks = []
    try:
        if settings.method == "full":
            model.requires_grad_(True)
            hooks = [parameter.register_post_accumulate_grad_hook(_give_back) for parameter in trains]
            total = sum(parameter.numel() for parameter in trains)
            numbers = [nn.Parameter(torch.zeros(min(total, STAND_IN), device=model.device))]
            numbers[0].grad = torch.zeros_like(numbers[0])
            times = total / numbers[0].numel()
        else:
            trained = make_trainable(model, _without_calibration(settings), ())
            numbers, times = [parameter for parameter in trained.parameters() if parameter.requires_grad], 1.0
        with checkpointing(trained.train(), settings.gradient_checkpointing):
            yield trained, numbers, times
    finally:
        if isinstance(trained, PeftModel):
            trained.unload()
        for hook in hooks:
            hook.remove()
        for parameter, train in trains.items():
            parameter.requires_grad_(train)
        model.train(was_training)


def _without_calibration(settings: Settings) -> Settings:
    """A step takes as long whichever entries a gradient would choose, and calibrating takes longer than trying."""
    mask = find_mask(settings.mask_type)
    calibrated = settings.method == "shira" and mask is not None and wants_gradient(mask)
    return dataclasses.replace(settings, mask_type="random") if calibrated else settings


def _pass(trained: Trainable, batch: dict[str, Tensor], precision: torch.dtype | None) -> None:
    trained.zero_grad()
    with torch.autocast("cuda", precision, enabled=precision is not None):
        loss = trained(**batch, use_cache=False).loss
    loss.backward()


def _update(numbers: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    nn.utils.clip_grad_norm_(numbers, 1.0)
    optimizer.step()


def _give_back(parameter: Tensor) -> None:
    """For a gradient that was computed and is not wanted."""
    parameter.grad = None


def seconds_of(work: Callable[[], object]) -> float:
    """Wall seconds of ``work()``, a GPU's included."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
