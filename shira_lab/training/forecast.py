"""What a run will need, told before it starts: memory at its peak, counted, and the time of a step, tried out.

The count is that of :mod:`shira_lab.costs` and :mod:`shira_lab.architectures.activations`, with what a run of
:func:`~shira_lab.training.finetune.finetune` needs besides: what was learned last, kept aside; the loss over a large
vocabulary; and the spectra of a few updates.
"""

import copy
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.adapters.targets import find_targets, walk
from shira_lab.architectures.activations import bytes_per_token
from shira_lab.budget import Shape, num_params
from shira_lab.costs import ADAMW, FLOAT32, GRADIENT, SHIRA_PLACE, in_units
from shira_lab.errors import ShiraError
from shira_lab.hub import EMBEDDED
from shira_lab.machine import free, resident
from shira_lab.masks.positions import shape_of
from shira_lab.training.data import Row
from shira_lab.training.evaluate import rows_at_once
from shira_lab.training.history import Settings
from shira_lab.training.methods import adapter_config
from shira_lab.training.probe import watched
from shira_lab.training.stories import Stories

LOOKED_AT = 64  # rows, for the longest
LOSS_COPIES = 3  # of a batch's logits: themselves, their logarithms, and the gradient
LIBRARIES = 64_000_000  # code and buffers that libraries load when a run first uses them, on a CPU; measured
SPECTRUM_COPIES = 4  # of a matrix whose singular values are computed: itself and the working space


@dataclass(frozen=True)
class Forecast:
    """What a run adds to the memory that is in use, in bytes.

    Attributes:
        settings: of the run.
        held: in use now, the model included.
        parts: what is added, by name.
        room: what may be added.
    """

    settings: Settings
    held: int
    parts: dict[str, int]
    room: int

    @property
    def added(self) -> int:
        return sum(self.parts.values())

    @property
    def peak(self) -> int:
        """Memory of the process at its peak."""
        return self.held + self.added

    @property
    def fits(self) -> bool:
        return self.added <= self.room

    def __str__(self) -> str:
        return (
            f"memory at the peak about {in_units(self.peak)}, of which {in_units(self.held)} are in use now; "
            f"{in_units(self.room)} are free"
        )


def forecast(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> Forecast | None:
    """The memory of a run from the bare ``model``; None where the model's activations cannot be counted without it.

    Raises:
        ShiraError: when the settings do not fit the model.
    """
    stories = Stories(settings, tokenizer)
    rows = [stories[index] for index in range(min(LOOKED_AT, len(stories)))]
    paths = find_targets(model, dict(walk(model)), adapter_config(settings))
    shapes = {path: shape_of(model.get_submodule(path)) for path in paths}
    try:
        activations = _activations(model, settings, paths, _tokens(rows, settings))
    except Exception:  # code of models that cannot do without numbers fails in many ways
        return None
    training = activations + LOSS_COPIES * _logits(model, _tokens(rows, settings))
    measuring = max(_spectra([shapes[path] for path in watched(paths)]), _evaluation(model, rows, settings))
    parts = _trained(model, settings, list(shapes.values()))
    parts |= {"activations": max(training, measuring), "libraries": LIBRARIES}
    return Forecast(settings, resident(), parts, _room(model))


def check_fits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> Forecast | None:
    """The forecast of a run.

    Raises:
        ShiraError: when there is not the memory for it; the message says what would fit.
    """
    told = forecast(model, tokenizer, settings)
    if told is None or told.fits:
        return told
    offers = [f"{name} (about {in_units(other.peak)})" for name, other in _smaller(model, tokenizer, settings)]
    offers += ["the embedded model"] if settings.model != EMBEDDED else []
    raise ShiraError(
        f"there is not enough memory to train {settings.model} by {settings.label}: {told}. What fits: "
        f"{'; '.join(offers) or 'nothing smaller of this model'}."
    )


def seconds_per_step(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> float | None:
    """The time of a forward and backward pass over the first batch, the better of two; the model stays as it is.

    None where the model does not take embeddings in the place of tokens.
    """
    stories = Stories(settings, tokenizer)
    part = settings.batch_size // settings.gradient_accumulation_steps
    batch = {name: value.to(model.device) for name, value in stories.collate([stories[i] for i in range(part)]).items()}
    embedded = model.get_input_embeddings()(batch.pop("input_ids")).detach().requires_grad_()
    frozen = {parameter: parameter.requires_grad for parameter in model.parameters()}
    times = []
    try:
        model.requires_grad_(False)
        for _ in range(2):
            began = time.perf_counter()
            model(inputs_embeds=embedded, **batch, use_cache=False).loss.backward()
            embedded.grad = None
            times.append(time.perf_counter() - began)
    except (TypeError, ValueError, NotImplementedError):
        return None
    finally:
        for parameter, trains in frozen.items():
            parameter.requires_grad_(trains)
    return min(times) * settings.gradient_accumulation_steps


def in_minutes(seconds: float) -> str:
    """A time for people."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def _smaller(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings
) -> list[tuple[str, Forecast]]:
    """Settings near these that fit, by what to change."""
    one_by_one = {"gradient_accumulation_steps": settings.batch_size}
    changes: dict[str, dict[str, Any]] = {
        f"gradient_accumulation_steps={settings.batch_size}": one_by_one,
        "gradient_checkpointing": {"gradient_checkpointing": True},
        "both of them": {"gradient_checkpointing": True, **one_by_one},
        "batch_size=1": {"batch_size": 1, "gradient_accumulation_steps": 1},
    }
    if settings.method == "full":
        changes["method=shira"] = {"method": "shira"}
        changes["method=shira with both of them"] = {"method": "shira", "gradient_checkpointing": True, **one_by_one}
    else:
        changes["adapters on fewer layers, the architecture's default"] = {"target_modules": None}
    found = []
    for name, change in changes.items():
        other = dataclasses.replace(settings, **change)
        try:
            told = forecast(model, tokenizer, other) if other != settings else None
        except ShiraError:  # an architecture without default layers, say
            continue
        if told is not None and told.fits:
            found.append((name, told))
    return found


def _trained(model: PreTrainedModel, settings: Settings, shapes: Sequence[Shape]) -> dict[str, int]:
    """What each trained number takes: itself, its gradient, its moments, and its copy of the last measurement."""
    if settings.method == "full":
        numbers = sum(parameter.numel() for parameter in model.parameters())
        each = FLOAT32
    else:
        numbers = sum(num_params(settings.r, shape) for shape in shapes)
        each = FLOAT32 + (SHIRA_PLACE + FLOAT32 if settings.method == "shira" else 0)
    names = {"trained": each, "gradients": GRADIENT, "optimizer": ADAMW, "kept aside": FLOAT32}
    return {name: numbers * width for name, width in names.items()}


def _activations(model: PreTrainedModel, settings: Settings, paths: Sequence[str], tokens: int) -> int:
    adapted = None if settings.method == "full" else list(paths)
    # The Trainer runs a model on a GPU in half precision.
    dtype = torch.float32 if model.device.type == "cpu" else torch.bfloat16
    if not settings.gradient_checkpointing:
        return tokens * bytes_per_token(model.config, dtype, adapted)
    layers = model.config.num_hidden_layers
    # Kept by one block and by two: the difference is a block's, which is all that is there at a time.
    one, two = (bytes_per_token(_with_layers(model, n), dtype, None) for n in (1, 2))
    return tokens * (one + layers * model.config.hidden_size * dtype.itemsize + (two - one) // layers)


def _with_layers(model: PreTrainedModel, n: int) -> PreTrainedConfig:
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = n
    return config


def _tokens(rows: Sequence[Row], settings: Settings) -> int:
    """Of the part of a batch that goes through the model at once, padded."""
    longest = max(len(row["input_ids"]) for row in rows)
    return longest * max(1, settings.batch_size // settings.gradient_accumulation_steps)


def _logits(model: PreTrainedModel, tokens: int) -> int:
    return FLOAT32 * tokens * int(model.config.vocab_size)


def _evaluation(model: PreTrainedModel, rows: Sequence[Row], settings: Settings) -> int:
    count = min(rows_at_once(model, rows), settings.eval_stories)
    return LOSS_COPIES * _logits(model, count * max(len(row["input_ids"]) for row in rows))


def _spectra(shapes: Sequence[Shape]) -> int:
    """The update of one watched layer after the other is made dense and decomposed."""
    return SPECTRUM_COPIES * max(FLOAT32 * m * n for m, n in shapes)


def _room(model: PreTrainedModel) -> int:
    return free() if model.device.type == "cpu" else int(torch.cuda.mem_get_info(model.device)[0])
