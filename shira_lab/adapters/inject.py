"""Adapters inside a model that stays the user's own object, for code that must not see a wrapper around it."""

from typing import Any

from torch import nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.adapters.unknown import refuse_unknown
from shira_lab.errors import AdapterError, expect


def inject_adapter_in_model(
    peft_config: AdapterConfig, model: nn.Module, adapter_name: str = "default", **others: Any
) -> nn.Module:
    """Put an adapter into ``model``, active, and return the same object. Called again, it adds another one.

    >>> from shira_lab import ShiraConfig
    >>> inject_adapter_in_model(ShiraConfig(r=1, target_modules=["0"]), nn.Sequential(nn.Linear(8, 8)))[0].r
    {'default': 1}

    The model has no methods of :class:`~shira_lab.adapters.model.PeftModel` then; ``get_peft_model_state_dict`` and
    ``set_peft_model_state_dict`` save and load the adapter. The configs are kept in ``model.peft_config`` by adapter
    name, as in PEFT.

    Args:
        others: further arguments of PEFT's, at their defaults.

    Raises:
        ShiraError: when the config does not fit the model; the model is as before.
    """
    expect(peft_config, AdapterConfig, "peft_config", "a ShiraConfig or LoraConfig")
    expect(model, nn.Module, "model", "a torch.nn.Module", AdapterError)
    if isinstance(model, PeftModel):
        raise AdapterError("This model is a PeftModel already; use `add_adapter` on it.")
    if others:
        refuse_unknown("inject_adapter_in_model", others, "Call `set_peft_model_state_dict` afterwards.", AdapterError)
    tuner = AdapterModel(model)
    tuner.peft_config = model.__dict__.get("peft_config", {})
    first = not tuner.peft_config
    try:
        tuner.add_adapter(adapter_name, peft_config)
        tuner.set_adapter(adapter_name, inference_mode=peft_config.inference_mode)
    except BaseException:  # an interrupt too: no layer may stay half made
        if first:
            tuner.unload()
        raise
    model.__dict__["peft_config"] = tuner.peft_config
    return model
