"""Adapters inside a model that stays the user's own object, for code that must not see a wrapper around it."""

from torch import nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.model import get_peft_model


def inject_adapter_in_model(peft_config: AdapterConfig, model: nn.Module, adapter_name: str = "default") -> nn.Module:
    """Put an adapter into ``model``, active, and return the same object.

    What :class:`~shira_lab.adapters.model.PeftModel` does is not at hand then; ``get_peft_model_state_dict`` and
    ``set_peft_model_state_dict`` save and load the adapter.

    Raises:
        ShiraError: when the config does not fit the model; the model is as before.
    """
    return get_peft_model(model, peft_config, adapter_name).get_base_model()
