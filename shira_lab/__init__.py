"""SHiRA, Sparse High Rank Adapters: train r(m + n) entries of a frozen weight, at fixed sparse positions.

The names are PEFT's. The layers of the package, each importing only what stands before it: masks and spectra of
tensors; adapters on models (here); training and data; figures; widgets.
"""

import importlib
from typing import TYPE_CHECKING, Any

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.config import AdapterConfig as PeftConfig
from shira_lab.adapters.inject import inject_adapter_in_model
from shira_lab.adapters.lora_config import LoraConfig
from shira_lab.adapters.model import PeftModel, get_peft_model
from shira_lab.adapters.model import PeftModel as PeftModelForCausalLM
from shira_lab.adapters.status import get_layer_status, get_model_status
from shira_lab.adapters.storage.state_dicts import (
    get_base_model_state_dict,
    get_peft_model_state_dict,
    set_base_model_state_dict,
    set_peft_model_state_dict,
)
from shira_lab.adapters.tasks import PeftType, TaskType
from shira_lab.analysis.spectrum import Spectrum, spectrum
from shira_lab.errors import ShiraError
from shira_lab.masks import mask_types, register_mask
from shira_lab.masks.calibration import calibrate

if TYPE_CHECKING:
    from shira_lab.models.hub import AutoPeftModelForCausalLM, load_model

__version__ = "0.2.0"

__all__ = [
    "AdapterConfig",
    "AutoPeftModelForCausalLM",
    "LoraConfig",
    "PeftConfig",
    "PeftModel",
    "PeftModelForCausalLM",
    "PeftType",
    "ShiraConfig",
    "ShiraError",
    "Spectrum",
    "TaskType",
    "calibrate",
    "get_base_model_state_dict",
    "get_layer_status",
    "get_model_status",
    "get_peft_model",
    "get_peft_model_state_dict",
    "inject_adapter_in_model",
    "load_model",
    "mask_types",
    "register_mask",
    "set_base_model_state_dict",
    "set_peft_model_state_dict",
    "spectrum",
]

#: Names of shira_lab.models.hub. They bring transformers with them, so they are imported when they are asked for.
_LATER = ("AutoPeftModelForCausalLM", "load_model")


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module("shira_lab.models.hub"), name)
    raise AttributeError(f"module 'shira_lab' has no attribute {name!r}")
