"""A folder of many adapters beside one running model: listed by name, read when first used, switched at once."""

from pathlib import Path

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.storage.folder import CONFIG_NAME
from shira_lab.errors import AdapterError, StorageError, check_path, expect


class AdapterShelf:
    """The adapters saved in the subfolders of ``folder``, for ``model``.

    Making one reads no weights, so a folder may hold more adapters than fit in memory. What has been loaded is the
    model's own: ``model.peft_config`` lists it, ``model.delete_adapter(name)`` puts it back on the shelf.

    Args:
        model: takes the adapters in. Wrap a bare model first, as ``PeftModel(model)``.
        folder: holds one folder for each adapter, as ``save_pretrained`` leaves them.

    Raises:
        AdapterError: when ``model`` is no :class:`~shira_lab.adapters.model.PeftModel`.
        StorageError: when there is no adapter in the folder.
    """

    def __init__(self, model: PeftModel, folder: str | Path) -> None:
        wanted = "a PeftModel; write `AdapterShelf(PeftModel(model), folder)` for a bare model"
        self.model = expect(model, PeftModel, "model", wanted, AdapterError)
        self.folder = check_path(folder, "folder")
        if not self.names:
            raise StorageError(
                f"No folder in {self.folder} holds an {CONFIG_NAME}; give the folder that the adapters' folders are in."
            )

    @property
    def names(self) -> list[str]:
        """The names of all adapters in the folder, sorted; looked up anew, so that one saved later is found too."""
        return sorted(file.parent.name for file in self.folder.glob(f"*/{CONFIG_NAME}"))

    @property
    def loaded(self) -> list[str]:
        """Those that are in memory."""
        return [name for name in self.names if name in self.model.peft_config]

    def config(self, name: str) -> AdapterConfig:
        """The config of an adapter, without its weights."""
        return AdapterConfig.from_pretrained(self._place(name))

    def load(self, name: str) -> None:
        """Read an adapter into the running model, if it is not there yet. It is not activated, and no other changes.

        Raises:
            StorageError: when the folder has no such adapter, or its files do not fit the model.
        """
        if name not in self.model.peft_config:
            self.model.load_adapter(self._place(name), name)

    def switch(self, name: str | None) -> None:
        """Make this adapter the only active one, for use and not for training; None is the base model."""
        if name is not None:
            self.load(name)
        self.model.set_adapter([] if name is None else name, inference_mode=True)

    def _place(self, name: str) -> Path:
        if name not in self.names:
            raise StorageError(f"{self.folder} has no adapter '{name}'; it has {', '.join(self.names)}.")
        return self.folder / name
