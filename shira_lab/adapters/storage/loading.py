"""The methods of :class:`~shira_lab.adapters.model.PeftModel` that load adapters.

Arguments are PEFT's, in its order. What an argument asks for is done, or refused with an error.
"""

from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.storage.load import LoadResult, fill_adapter, read_adapter
from shira_lab.adapters.tree import check_adapter_name
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.adapters.unknown import refuse_unknown
from shira_lab.errors import ShiraError, StorageError, check_path

_INSTEAD_OF_LOADING = (
    "Leave it out: an adapter is read as it is from a folder of this machine, onto a model that is in its place; "
    "`huggingface_hub.snapshot_download` fetches one from the hub."
)


class LoadingMixin(nn.Module):
    """Loading for a wrapper whose ``base_model`` has the adapters."""

    base_model: AdapterModel

    @classmethod
    def from_pretrained(
        cls,
        model: nn.Module,
        model_id: str | Path,
        adapter_name: str = "default",
        is_trainable: bool = False,
        config: AdapterConfig | None = None,
        **loading: Any,
    ) -> Self:
        """``model`` with the adapter saved in the folder ``model_id``, active.

        Args:
            config: to use instead of the folder's ``adapter_config.json``. It is left as it is.
            loading: further arguments of :meth:`load_adapter`.

        Raises:
            ShiraError: when the files do not fit each other or the model; the model is as before.
        """
        peft_model = cls(model)
        peft_model.load_adapter(model_id, adapter_name, is_trainable, config=config, **loading)
        peft_model.base_model.set_adapter(adapter_name, inference_mode=not is_trainable)
        return peft_model

    def load_adapter(
        self,
        model_id: str | Path,
        adapter_name: str,
        is_trainable: bool = False,
        torch_device: str | torch.device | None = None,
        autocast_adapter_dtype: bool = True,
        device_map: dict[str, Any] | None = None,
        config: AdapterConfig | None = None,
        subfolder: str | None = None,
        **others: Any,
    ) -> LoadResult:
        """Add the adapter saved in a folder; it is not activated. Everything is checked before anything is changed.

        Unless ``is_trainable``, the whole model is put in eval mode, as in PEFT.

        Args:
            torch_device: where the adapter is expected; it goes to the device of its layers.
            autocast_adapter_dtype: as in :func:`get_peft_model`.
            device_map: where the parts of the model are expected, {"" or a module's path: device}.
            config: as in :meth:`from_pretrained`.
            subfolder: the folder of the adapter inside ``model_id``.
            others: further arguments of PEFT's, at their defaults.

        Returns:
            What PyTorch's ``load_state_dict`` returns; both of its lists are empty, since a missing or unexpected
            tensor is an error.

        Raises:
            ShiraError: when the files do not fit each other or the model, or the model is on another device.
        """
        if others:
            refuse_unknown("load_adapter", others, _INSTEAD_OF_LOADING, StorageError)
        folder = check_path(model_id, "model_id") / check_path(subfolder or ".", "subfolder")
        expected = device_map or {}
        _check_placement(self.base_model.model, {"": torch_device, **expected} if torch_device else expected)
        check_adapter_name(adapter_name, self.base_model.peft_config)
        config, loaded = read_adapter(self.base_model, folder, config)
        self.base_model.add_adapter(
            adapter_name,
            config.copy(inference_mode=not is_trainable),
            positions=loaded.positions,
            autocast_adapter_dtype=autocast_adapter_dtype,
        )
        fill_adapter(self.base_model, adapter_name, loaded)
        if not is_trainable:
            self.eval()
        return LoadResult([], [])

    def push_to_hub(self, *args: Any, **kwargs: Any) -> None:
        """Not offered: without this method, the call would reach the base model's, which uploads the whole model.

        Raises:
            ShiraError: always.
        """
        raise ShiraError(
            "`push_to_hub` is not offered. Save the adapter with `save_pretrained(folder)` and upload the folder, for "
            "instance with `huggingface_hub.upload_folder(folder_path=folder, repo_id=...)`."
        )


def _check_placement(model: nn.Module, device_map: dict[str, Any]) -> None:
    """Check that the parameters below each module's path ("" is the model) are on its device; longer paths win.

    Raises:
        ShiraError: naming the first parameter that is elsewhere, or what is no such map.
    """
    if not isinstance(device_map, dict):
        raise ShiraError(
            f"`device_map={device_map!r}` would place the model, which is not done here: place it first, with "
            "`model.to(device)` or transformers' `from_pretrained(..., device_map=...)`."
        )
    for name, parameter in model.named_parameters():
        paths = [path for path in device_map if not path or f"{name}.".startswith(f"{path}.")]
        if paths and not _same(parameter.device, device_map[max(paths, key=len)]):
            raise ShiraError(
                f"'{name}' is on {parameter.device}, not on {device_map[max(paths, key=len)]} as expected; an adapter "
                "goes to the device of its layer. Move the model first, with `model.to(device)`."
            )


def _same(device: torch.device, expected: Any) -> bool:
    """Whether these are one device; "cuda" is any of them."""
    try:
        wanted = torch.device(expected)
    except (RuntimeError, TypeError):
        raise ShiraError(f"{expected!r} is no device; name one such as 'cpu' or 'cuda:0'.") from None
    return device.type == wanted.type and wanted.index in (None, device.index)
