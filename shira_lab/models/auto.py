"""An adapter and the model that its config names, loaded in one call."""

from pathlib import Path
from typing import Any

from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.storage.folder import read_config
from shira_lab.errors import StorageError, check_path
from shira_lab.models.hub import load_model


class AutoPeftModelForCausalLM:
    """PEFT's name for what :func:`~shira_lab.models.hub.load_model` and :class:`PeftModel` do together."""

    @classmethod
    def from_pretrained(cls, folder: str | Path, adapter_name: str = "default", **loading: Any) -> PeftModel:
        """The adapter in ``folder`` on its base model, which is in float32 on the CPU.

        Args:
            loading: further arguments of :meth:`PeftModel.from_pretrained`.

        Raises:
            ShiraError: when the config names no model, or it cannot be loaded, or the adapter does not fit it.
        """
        name = (loading.get("config") or read_config(check_path(folder, "folder"))).base_model_name_or_path
        if name is None:
            raise StorageError(f"The adapter in {folder} does not name its model. Load it, then use PeftModel.")
        return PeftModel.from_pretrained(load_model(name)[0], folder, adapter_name, **loading)
