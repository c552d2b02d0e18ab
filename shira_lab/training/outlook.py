"""What a run will take, said before it starts: its texts, its memory at the peak, and its time.

The time is measured on a few steps and on a part of one measurement. An adapter is added, trained for these steps, and
removed. "full" may not change the model, and may not take the memory of a whole run: each gradient is deleted when it
has been computed, and AdamW's time is measured on fewer parameters and multiplied, because it updates one after the
other.
"""

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import fmean, median

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.adapters.model import PeftModel
from shira_lab.analysis.spectrum import spectrum
from shira_lab.masks.function import calibrated_by, find_mask
from shira_lab.masks.positions import shape_of
from shira_lab.training.corpus import find_corpus
from shira_lab.training.evaluate import row_loss, rows_at_once, sample
from shira_lab.training.forecast import check_fits
from shira_lab.training.history import History
from shira_lab.training.methods import Trainable, checkpointing, half_precision, make_trainable, trained_layers
from shira_lab.training.moving.callback import MovingMask
from shira_lab.training.moving.choice import moving_mask
from shira_lab.training.parts import texts_at_once
from shira_lab.training.probe import watched
from shira_lab.training.settings import Settings
from shira_lab.training.stories import Stories

STEPS = 3  # the first one also finds memory and makes plans
TOKENS = 16  # of a sample text
#: Parameters that stand for all those that "full" trains; four times as many bytes, four times over, are in no cache.
STAND_IN = 4_000_000


def outlook(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> str:
    """A few sentences about a run; some steps are measured for them, and the model stays as it is.

    Raises:
        ShiraError: when the settings do not fit the model, or the memory.
    """
    forecast = check_fits(model, tokenizer, settings)
    texts = find_corpus(settings.world, tokenizer, settings.max_length).about
    memory = "" if forecast is None else f" Estimated {forecast}."
    step = seconds_per_step(model, tokenizer, settings)
    measurement = seconds_per_measurement(model, tokenizer, settings)
    measurements = 1 + -(-settings.steps // settings.eval_every)
    return (
        f"Texts: {texts}.{memory} About {in_words(step)} a step and {in_words(measurement)} for each of {measurements} "
        f"measurements, {in_words(settings.steps * step + measurements * measurement)} in all."
    )


def in_words(seconds: float) -> str:
    """A time for people."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def seconds_per_step(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> float:
    """The time of one of the run's steps, without the measurements between them; the model stays as it is. It is a mean
    where a mask that moves looks at the dense gradients of some steps.

    Raises:
        ShiraError: when the settings do not fit the model.
    """
    stories = Stories(settings, tokenizer)
    rows = range(texts_at_once(model, settings))
    batch = {name: value.to(model.device) for name, value in stories.collate([stories[i] for i in rows]).items()}
    passes, updates, looking = [], [], []
    share = 0.0  # of the steps that look at dense gradients
    with torch.random.fork_rng(), _trainable(model, settings) as (trained, timed, times):
        optimizer = torch.optim.AdamW(timed, lr=1e-3, fused=True)  # the Trainer's
        moving = moving_mask(trained, History(settings), settings)
        one_pass = partial(_pass, trained, batch, half_precision(model))
        for _ in range(STEPS):
            passes.append(seconds_of(one_pass))
            updates.append(seconds_of(partial(_update, timed, optimizer)))
            if moving is not None:
                looking.append(seconds_of(partial(_look, moving, one_pass)))
        if moving is not None:
            share = fmean(map(moving.looks, range(1, settings.steps + 1)))
    seconds = (1 - share) * median(passes) + share * median(looking or passes)
    return seconds * settings.gradient_accumulation_steps + median(updates) * times


@contextmanager
def _trainable(model: PreTrainedModel, settings: Settings) -> Iterator[tuple[Trainable, list[nn.Parameter], float]]:
    """Inside: a model to train, the parameters whose optimizer step is timed, and the factor of that time."""
    trains, was_training = {parameter: parameter.requires_grad for parameter in model.parameters()}, model.training
    trained: Trainable = model
    hooks = []
    try:
        if settings.method == "full":
            model.requires_grad_(True)
            hooks = [parameter.register_post_accumulate_grad_hook(_delete_gradient) for parameter in trains]
            total = sum(parameter.numel() for parameter in trains)
            timed = [nn.Parameter(torch.zeros(min(total, STAND_IN), device=model.device))]
            timed[0].grad = torch.zeros_like(timed[0])
            times = total / timed[0].numel()
        else:
            trained = make_trainable(model, _without_calibration(settings), ())
            timed, times = [parameter for parameter in trained.parameters() if parameter.requires_grad], 1.0
        with checkpointing(trained.train(), settings.gradient_checkpointing):
            yield trained, timed, times
    finally:
        if isinstance(trained, PeftModel):
            trained.unload()
        for hook in hooks:
            hook.remove()
        for parameter, train in trains.items():
            parameter.requires_grad_(train)
        model.train(was_training)


def _without_calibration(settings: Settings) -> Settings:
    """A step takes as long whichever entries data would choose, and calibrating takes longer than trying."""
    calibrated = settings.method == "shira" and calibrated_by(find_mask(settings.mask_type))
    return dataclasses.replace(settings, mask_type="random") if calibrated else settings


def _pass(trained: Trainable, batch: dict[str, Tensor], precision: torch.dtype | None) -> None:
    trained.zero_grad()
    with torch.autocast("cuda", precision, enabled=precision is not None):
        loss = trained(**batch, use_cache=False).loss
    loss.backward()


def _look(moving: MovingMask, one_pass: Callable[[], None]) -> None:
    moving.gradients.look()
    try:
        one_pass()
    finally:
        moving.gradients.rest()


def _update(timed: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    nn.utils.clip_grad_norm_(timed, 1.0)
    optimizer.step()


def _delete_gradient(parameter: Tensor) -> None:
    """A hook that deletes a gradient."""
    parameter.grad = None


def seconds_per_measurement(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> float:
    """The time of what :class:`~shira_lab.training.probe.Probe` does every ``eval_every`` steps, from a part of it: a
    batch of held-out texts, the spectrum of a weight of each watched shape, and the beginning of a text.

    Raises:
        ShiraError: when the settings do not fit the model.
    """
    seconds = 0.0
    for world in filter(None, (settings.world, settings.reference_world)):
        rows = find_corpus(world, tokenizer, settings.max_length).held_out(settings.eval_stories).rows
        first = rows[: rows_at_once(model, rows)]
        seconds += seconds_of(partial(row_loss, model, first, tokenizer.pad_token_id)) * len(rows) / len(first)
    layers = [model.get_submodule(path) for path in watched(trained_layers(model, settings))]
    weights = {shape_of(layer): layer.weight for layer in layers}
    for shape, times in Counter(map(shape_of, layers)).items():
        seconds += seconds_of(partial(spectrum, weights[shape].detach())) * times
    few = min(TOKENS, settings.sample_tokens)
    generate = partial(sample, model, tokenizer, prompt=settings.prompt)
    generate(max_new_tokens=1)  # the first call is longer
    return seconds + seconds_of(partial(generate, max_new_tokens=few)) * settings.sample_tokens / few


def seconds_of(work: Callable[[], object]) -> float:
    """Wall seconds of ``work()``, a GPU's included."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
