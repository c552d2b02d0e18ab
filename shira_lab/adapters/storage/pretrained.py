"""The part of PEFT's face that meets the disk: adapters are saved into folders and loaded from them.

Arguments are PEFT's, in its order. What one of them asks for is done or refused, never passed over.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.names import check_adapter_name
from shira_lab.adapters.placement import check_placement
from shira_lab.adapters.storage.adapter import LoadResult, fill_adapter, read_adapter, save_adapter
from shira_lab.adapters.storage.tensor_files import COMPACT_NAME, PICKLE_NAME, WEIGHTS_NAME
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.adapters.unknown import refuse_unknown
from shira_lab.errors import ShiraError, StorageError, check_names, check_path

_INSTEAD_OF_SAVING = (
    "Leave it out: one folder is written, with the adapter and its `modules_to_save`, among which embeddings can be; "
    "`huggingface_hub.upload_folder` uploads it."
)
_INSTEAD_OF_LOADING = (
    "Leave it out: an adapter is read as it is from a folder of this machine, onto a model that is in its place; "
    "`huggingface_hub.snapshot_download` fetches one from the hub."
)


class PretrainedMixin(nn.Module):
    """Saving and loading for a wrapper whose ``base_model`` has the adapters."""

    base_model: AdapterModel

    def save_pretrained(
        self,
        save_directory: str | Path,
        safe_serialization: bool = True,
        selected_adapters: list[str] | None = None,
        *,
        is_main_process: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        compact: bool = False,
        **others: Any,
    ) -> None:
        """Save adapters: "default" into the folder itself, others into folders of their names, as PEFT does.

        Args:
            safe_serialization: write safetensors; False writes PyTorch's older ``adapter_model.bin``.
            selected_adapters: names; None saves all.
            is_main_process: False writes nothing, for all processes but one.
            state_dict: what ``state_dict()`` of this model gives, to save instead of what is in the model now.
            compact: write less than half of the bytes, in a form that only this package reads.
            others: further arguments of PEFT's, at their defaults.

        Raises:
            StorageError: when it cannot be written; what was there is unchanged.
        """
        if compact and not safe_serialization:
            raise StorageError("`compact=True` writes safetensors; leave `safe_serialization` at True.")
        refuse_unknown("save_pretrained", others, _INSTEAD_OF_SAVING, StorageError)
        path = check_path(save_directory, "save_directory")
        file = COMPACT_NAME if compact else WEIGHTS_NAME if safe_serialization else PICKLE_NAME
        known = list(self.base_model.peft_config)
        names = known if selected_adapters is None else check_names(selected_adapters, "selected_adapters")
        self.base_model.check_known(names)
        look_up = Tensor.detach if state_dict is None else self._looking_into(state_dict)
        for name in names if is_main_process else ():
            folder = path if name == "default" else path / name
            save_adapter(self.base_model, name, folder, file, look_up)

    def _looking_into(self, state_dict: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """A function from a tensor of this model to the one of its name in ``state_dict``."""
        names = {id(tensor): name for name, tensor in self.state_dict(keep_vars=True).items()}

        def look_up(tensor: Tensor) -> Tensor:
            found = state_dict.get(names[id(tensor)])
            if found is None or found.shape != tensor.shape:
                raise StorageError(
                    f"`state_dict` should hold '{names[id(tensor)]}' of shape {tuple(tensor.shape)}; pass all that "
                    "`state_dict()` of this model gives."
                )
            return found.detach()

        return look_up

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
        refuse_unknown("load_adapter", others, _INSTEAD_OF_LOADING, StorageError)
        folder = check_path(model_id, "model_id") / check_path(subfolder or ".", "subfolder")
        expected = device_map or {}
        check_placement(self.base_model.model, {"": torch_device, **expected} if torch_device else expected)
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
