"""SHiRA, Sparse High Rank Adapters: train r(m + n) entries of a frozen weight, at fixed sparse positions.

The names are PEFT's. The layers of the package, each importing only what stands before it: masks and spectra of
tensors; adapters on models (here); training and data; figures; widgets.
"""

from typing import TYPE_CHECKING, Any

from shira_lab.adapters.config import AdapterConfig, LoraConfig, ShiraConfig
from shira_lab.adapters.inject import inject_adapter_in_model
from shira_lab.adapters.model import PeftModel, get_peft_model
from shira_lab.adapters.storage.state_dicts import (
    get_base_model_state_dict,
    get_peft_model_state_dict,
    set_base_model_state_dict,
    set_peft_model_state_dict,
)
from shira_lab.adapters.tasks import TaskType
from shira_lab.analysis.spectrum import Spectrum, spectrum
from shira_lab.errors import ShiraError
from shira_lab.masks import mask_types, register_mask
from shira_lab.masks.calibration import calibrate

if TYPE_CHECKING:
    from shira_lab.models.hub import load_model

__all__ = [
    "AdapterConfig",
    "LoraConfig",
    "PeftModel",
    "ShiraConfig",
    "ShiraError",
    "Spectrum",
    "TaskType",
    "calibrate",
    "get_base_model_state_dict",
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


def __getattr__(name: str) -> Any:
    """``shira_lab.load_model`` brings transformers with it, so it is imported when it is asked for."""
    if name == "load_model":
        from shira_lab.models.hub import load_model

        return load_model
    raise AttributeError(f"module 'shira_lab' has no attribute {name!r}")
