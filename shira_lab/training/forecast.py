"""The memory that a run will take at its peak, counted before it starts, and what fits where that is too much.

:mod:`shira_lab.analysis.costs` counts parameters, gradients and moments,
:mod:`shira_lab.models.architectures.activations` what the backward pass needs. A run of
:func:`~shira_lab.training.finetune.finetune` adds a copy of what was learned at the last measurement, the loss over a
large vocabulary, and the spectra of a few updates.
"""

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.adapters.default_targets import DEFAULT_TARGETS
from shira_lab.adapters.targets import find_targets
from shira_lab.analysis.costs import ADAMW, FLOAT32, GRADIENT, SHIRA_PLACE, in_units
from shira_lab.budget import Shape
from shira_lab.errors import ShiraError
from shira_lab.masks.positions import shape_of
from shira_lab.models.architectures.activations import bytes_per_token
from shira_lab.models.hub import EMBEDDED
from shira_lab.training.data import Row
from shira_lab.training.evaluate import rows_at_once
from shira_lab.training.machine import free, resident
from shira_lab.training.methods import adapter_config, adapter_parameters
from shira_lab.training.parts import processes_for, processes_here, texts_at_once
from shira_lab.training.probe import watched
from shira_lab.training.settings import Settings
from shira_lab.training.stories import Stories
from shira_lab.training.ways import WAYS

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
    shapes = {path: shape_of(layer) for path, layer in find_targets(model, adapter_config(settings)).items()}
    tokens = _tokens(model, rows, settings)
    try:
        activations = _activations(model, settings, list(shapes), tokens)
    except Exception:  # code of models that cannot do without numbers fails in many ways
        return None
    training = activations + LOSS_COPIES * _logits(model, tokens)
    measuring = max(_spectra([shapes[path] for path in watched(list(shapes))]), _evaluation(model, rows, settings))
    parts = _trained(model, settings, list(shapes.values()))
    parts |= {"activations": max(training, measuring), "libraries": LIBRARIES}
    return Forecast(settings, resident(), parts, _room(model))


@dataclass(frozen=True)
class Offer:
    """A change of settings with which a run fits.

    Attributes:
        name: of the change, for people: "gradient_checkpointing=True (about 1.2 GB)".
        changes: new values of settings.
    """

    name: str
    changes: dict[str, Any]


class DoesNotFit(ShiraError):
    """There is not the memory for a run; ``reason`` says so in a sentence, and ``offers`` are what would fit."""

    def __init__(self, too_large: Forecast, offers: Sequence[Offer]) -> None:
        self.offers = tuple(offers)
        run = too_large.settings
        self.reason = f"There is not enough memory to train {run.model} by {run.label}: {too_large}."
        names = "; ".join(offer.name for offer in offers) or "nothing smaller of this model"
        super().__init__(f"{self.reason} What fits: {names}.")


def check_fits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> Forecast | None:
    """The forecast of a run.

    Raises:
        DoesNotFit: when there is not the memory for it; the message says what would fit.
    """
    this = forecast(model, tokenizer, settings)
    if this is None or this.fits:
        return this
    embedded = [Offer("the embedded model", {"model": EMBEDDED})] if settings.model != EMBEDDED else []
    raise DoesNotFit(this, [*_smaller(model, tokenizer, settings), *embedded])


def _smaller(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> list[Offer]:
    """Settings near these that fit; two changes together only where neither is enough."""
    processes = processes_for(model).num_processes
    one_by_one = {"gradient_accumulation_steps": settings.batch_size // processes}
    recomputed = {"gradient_checkpointing": True}
    changes: list[dict[str, Any]] = [
        one_by_one,
        recomputed,
        one_by_one | recomputed,
        {"batch_size": processes, "gradient_accumulation_steps": 1},
    ]
    fewer = DEFAULT_TARGETS.get(model.config.model_type)
    if settings.method == "full":
        changes += [{"method": "shira"}, {"method": "shira"} | one_by_one | recomputed]
    elif fewer:
        changes.append({"target_modules": fewer})
    offers: list[Offer] = []
    for change in changes:
        other = dataclasses.replace(settings, **change)
        enough = any(offer.changes.items() <= change.items() for offer in offers)
        smaller = forecast(model, tokenizer, other) if other != settings and not enough else None
        if smaller is not None and smaller.fits:
            offers.append(Offer(f"{_in_words(change)} (about {in_units(smaller.peak)})", change))
    return offers


def _in_words(change: dict[str, Any]) -> str:
    """ "batch_size=1 and target_modules=q_proj,v_proj"."""
    values = {name: ",".join(value) if isinstance(value, tuple) else value for name, value in change.items()}
    return " and ".join(f"{name}={value}" for name, value in values.items())


def _trained(model: PreTrainedModel, settings: Settings, shapes: Sequence[Shape]) -> dict[str, int]:
    """Bytes of the trainable parameters, their gradients and moments, and their copy of the last measurement; of a mask
    that moves, the dense tensors that it looks at."""
    if settings.method == "full":
        count = sum(parameter.numel() for parameter in model.parameters())
        each = FLOAT32
    else:
        count = adapter_parameters(settings, shapes)
        each = FLOAT32 + (SHIRA_PLACE + FLOAT32 if settings.method == "shira" else 0)
    names = {"trained": each, "gradients": GRADIENT, "optimizer": ADAMW, "kept aside": FLOAT32}
    parts = {name: count * width for name, width in names.items()}
    if settings.method == "shira" and settings.mask_moves != "never":
        dense = 5 if settings.mask_moves == "learned" else 1  # the gradients; scores, trial values and moments
        parts["moving mask"] = FLOAT32 * dense * sum(m * n for m, n in shapes)
    if settings.method in WAYS:  # each keeps its update, and what that was made of, for the backward pass
        parts["dense updates"] = FLOAT32 * 2 * sum(m * n for m, n in shapes)
    return parts


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


def _tokens(model: PreTrainedModel, rows: Sequence[Row], settings: Settings) -> int:
    """Of the part of a batch that goes through the model at once, padded."""
    return texts_at_once(model, settings) * max(len(row["input_ids"]) for row in rows)


def _logits(model: PreTrainedModel, tokens: int) -> int:
    return FLOAT32 * tokens * int(model.config.vocab_size)


def _evaluation(model: PreTrainedModel, rows: Sequence[Row], settings: Settings) -> int:
    count = min(rows_at_once(model, rows), settings.eval_stories)
    return LOSS_COPIES * _logits(model, count * max(len(row["input_ids"]) for row in rows))


def _spectra(shapes: Sequence[Shape]) -> int:
    """The update of one watched layer after the other is made dense and decomposed."""
    return SPECTRUM_COPIES * max(FLOAT32 * m * n for m, n in shapes)


def _room(model: PreTrainedModel) -> int:
    return free() // processes_here() if model.device.type == "cpu" else int(torch.cuda.mem_get_info(model.device)[0])
