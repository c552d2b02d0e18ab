"""SHiRA, LoRA, the other ways, or all of the weights: here a model is made ready for one of them."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedModel

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.lora_config import LoraConfig
from shira_lab.adapters.model import PeftModel, get_peft_model
from shira_lab.adapters.targets import find_targets
from shira_lab.budget import Shape, num_params
from shira_lab.errors import AdapterError
from shira_lab.layers import AdapterLayer
from shira_lab.masks.calibration import calibrate
from shira_lab.masks.function import calibrated_by
from shira_lab.training.settings import Settings
from shira_lab.training.threads import SMALL
from shira_lab.training.ways import WAYS, WayConfig

#: Peak learning rates for the embedded model, from a grid with r = 8 on all linear layers: SHiRA (magnitude) over 0.02
#: to 0.2, LoRA over 0.003 to 0.1, full over 0.001 to 0.01, where 0.003 and 0.01 tie. Larger models want smaller ones.
#: Another way has its own there, and on larger models that of its kin.
LEARNING_RATES = {"shira": 1e-1, "lora": 3e-2, "full": 3e-3}

#: The same for models between :data:`SMALL` and :data:`LARGE`: of the grid in ``scripts/compare_real.py``, the rate
#: below the best. The best, 0.03 for SHiRA and 0.01 for LoRA, were so in runs of 24 steps, at 0.03 much English was
#: forgotten, and 0.1 was too much. A run is usually longer.
MEDIUM_LEARNING_RATES = {"shira": 1e-2, "lora": 3e-3, "full": 2e-5}

#: The same for larger models: SHiRA's and LoRA's from the paper's runs on language models of 7 billion parameters
#: (section 5.2), and what full fine-tuning is usually given.
LARGE_LEARNING_RATES = {"shira": 5e-4, "lora": 2e-4, "full": 2e-5}
LARGE = 500_000_000  # parameters of a model

Trainable: TypeAlias = PeftModel | PreTrainedModel


def suitable_learning_rate(method: str, model: PreTrainedModel) -> float:
    """The peak learning rate that a run takes when it is given none."""
    size = sum(parameter.numel() for parameter in model.parameters())
    if method in WAYS:
        return WAYS[method].learning_rate if size < SMALL else suitable_learning_rate(WAYS[method].kin, model)
    rates = LEARNING_RATES if size < SMALL else MEDIUM_LEARNING_RATES if size < LARGE else LARGE_LEARNING_RATES
    return rates[method]


def make_trainable(model: PreTrainedModel, settings: Settings, samples: Iterable[Any]) -> Trainable:
    """``model`` with a fresh adapter on it, or for "full" a trainable copy of it.

    Args:
        samples: batches of one training story, read only by masks that rank positions by data.

    Raises:
        ShiraError: when the settings do not fit the model; it is as before.
    """
    if any(isinstance(module, AdapterLayer) for module in model.modules()):
        raise AdapterError(
            "This model carries an adapter already; call `unload()` on its PeftModel, or load it afresh."
        )
    if settings.method == "full":
        return copy.deepcopy(model).requires_grad_(True)
    config = adapter_config(settings)
    wanted = calibrated_by(config.mask_fn) if isinstance(config, ShiraConfig) else None
    found = None
    if wanted:
        found = calibrate(model, trained_layers(model, settings), samples, settings.reduction, collect=wanted)
    return get_peft_model(model, config, calibration=found)


@contextmanager
def checkpointing(trained: Trainable, on: bool) -> Iterator[None]:
    """Inside, if ``on``, only the inputs of the model's blocks are kept, and the rest is computed again when needed."""
    # transformers has had two names for it.
    kind = "activation" if hasattr(trained, "activation_checkpointing_enable") else "gradient"
    if on:
        getattr(trained, f"{kind}_checkpointing_enable")({"use_reentrant": False})
    try:
        yield
    finally:
        if on:
            getattr(trained, f"{kind}_checkpointing_disable")()


def half_precision(model: PreTrainedModel) -> torch.dtype | None:
    """What a run computes in where that helps, which is on a GPU; None is float32.

    A CPU without instructions for half precision would only lose time and digits.
    """
    if model.device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def adapter_config(settings: Settings) -> AdapterConfig:
    """The config of the adapter that ``settings`` ask for; "full" has the one whose layers are looked at."""
    targets = settings.target_modules
    common: dict[str, Any] = {
        "r": settings.r,
        "target_modules": list(targets) if isinstance(targets, tuple) else targets,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": settings.model,
    }
    if settings.method == "shira":
        return ShiraConfig(mask_type=settings.mask_type, random_seed=settings.seed, **common)
    if settings.method in WAYS:
        return WayConfig(way=settings.method, random_seed=settings.seed or 0, **common)
    return LoraConfig(lora_alpha=settings.r, **common)


def adapter_parameters(settings: Settings, shapes: Iterable[Shape]) -> int:
    """How many parameters the adapter of ``settings`` has on weights of these shapes."""
    count = WAYS[settings.method].parameters_for if settings.method in WAYS else num_params
    return sum(count(settings.r, shape) for shape in shapes)


def hyperparameters(settings: Settings) -> str:
    """Scaling, initial values and learning rate in words: what a comparison of methods has to say of each."""
    rate = f"learning rate {settings.learning_rate:g}"
    if settings.method == "full":
        return f"every weight starts as it is, {rate}"
    config = adapter_config(settings)
    if isinstance(config, LoraConfig):
        scaling = config.lora_alpha / config.r
        return f"lora_alpha {config.lora_alpha:g} (scaling {scaling:g}), A starts Kaiming-uniform and B at zero, {rate}"
    start = WAYS[config.way].start if isinstance(config, WayConfig) else "values start at zero"
    return f"scaling {config.scale:g}, {start}, {rate}"


def trained_layers(trained: Trainable, settings: Settings) -> list[str]:
    """Paths of the linear layers that carry the adapter, or that one with these targets would."""
    if isinstance(trained, PeftModel):
        return [path for path, _ in trained.base_model.adapter_layers()]
    return list(find_targets(trained, adapter_config(settings)))


def delta_weight(trained: Trainable, base: PreTrainedModel, path: str) -> Tensor:
    """W' - W of the layer at ``path``, dense, in the weight's shape."""
    if isinstance(trained, PeftModel):
        layer = trained.get_base_model().get_submodule(path)
        assert isinstance(layer, AdapterLayer)
        return layer.get_delta_weight(trained.active_adapter).detach()
    delta: Tensor = trained.get_submodule(path).weight.detach() - base.get_submodule(path).weight.detach()
    return delta
