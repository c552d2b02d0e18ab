"""The adapted model: finds the target layers, wraps them, and does to all of them what is asked for one.

PEFT calls this object ``base_model``; the user's model is its ``model``.
"""

import re
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.adapters.config import MASK_FIELDS, AdapterConfig, ShiraConfig, check_scale
from shira_lab.adapters.modules_to_save import ModulesToSaveWrapper, find_modules_to_save, with_task_head, wrap_modules
from shira_lab.adapters.recipe import draw_positions, make_adapter, prepare_config
from shira_lab.adapters.targets import find_targets
from shira_lab.adapters.tree import AdapterTree
from shira_lab.adapters.unmatched import warn_unmatched
from shira_lab.errors import AdapterError
from shira_lab.layers import AdapterLayer
from shira_lab.masks.positions import to_mask

#: Names that would collide with attributes of the containers that adapters live in.
_RESERVED = frozenset(dir(nn.ModuleDict()))
#: What stands for "no adapter" among the names of a mixed batch.
BASE = "__base__"


class AdapterModel(AdapterTree):
    """A model whose target layers are :class:`~shira_lab.layers.AdapterLayer`.

    Attributes:
        peft_config: configs by adapter name, as used: seeds that were drawn are recorded in them.
        active_adapters: names of the adapters in use.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.peft_config: dict[str, AdapterConfig] = {}
        self.active_adapters: list[str] = []

    @property
    def active_adapter(self) -> str | list[str]:
        """The name of the active adapter, or the names when there are more or fewer than one, as in PEFT."""
        return self.active_adapters[0] if len(self.active_adapters) == 1 else self.active_adapters

    @property
    def has_active_enabled_adapter(self) -> bool:
        """Whether any adapter takes part in the forward pass."""
        return bool(self.active_adapters) and not all(module.disable_adapters for module in self._switched())

    @property
    def prefix(self) -> str:
        """How the names of the adapter's parameters begin: "shira_" or "lora_", by the first adapter's kind."""
        return next((f"{config.peft_type.lower()}_" for config in self.peft_config.values()), "")

    # ---- adapters come and go ---------------------------------------------------------------------------------------

    def add_adapter(
        self,
        name: str,
        config: AdapterConfig,
        gradients: dict[str, Tensor] | None = None,
        positions: dict[str, Tensor] | None = None,
        autocast_adapter_dtype: bool = True,
    ) -> None:
        """Put a new adapter on all target layers of ``config``. Everything is made before anything is changed.

        Args:
            gradients: calibrated gradient by layer path, for the masks that need one.
            positions: flat positions by layer path, to use instead of the mask function (loading does).
            autocast_adapter_dtype: keep the adapter's numbers in float32 where the layer's are float16 or bfloat16.

        Raises:
            ConfigError, MaskError, AdapterError: when it cannot be done; the model is as before.
        """
        self.check_new(name)
        config = with_task_head(self.model, config)
        targets = find_targets(self.model, config)
        warn_unmatched(self.model, config, targets, stacklevel=3)
        config = prepare_config(self.model, config, list(targets.values()), new=positions is None)
        taken = self._taken(config) if positions is None else {}
        made = {
            path: make_adapter(
                path, base, config, (gradients or {}).get(path), (positions or {}).get(path),
                taken.get(path), autocast_adapter_dtype,
            )
            for path, base in targets.items()
        }  # fmt: skip
        saved = find_modules_to_save(self.model, config.modules_to_save)
        if not self.peft_config:
            self.model.requires_grad_(False)
        wrap_modules(self.model, name, saved)
        shared = _shared_weights(self.model)
        existing = dict(self.adapter_layers())
        for path, adapter in made.items():
            layer = existing.get(path)
            if layer is None:
                base = targets[path]
                layer = AdapterLayer(base, in_place=id(base.weight) not in shared).train(base.training)
                _replace(self.model, path, layer)
            layer.add_adapter(name, adapter)
        self.peft_config[name] = config

    def delete_adapter(self, name: str) -> None:
        """Remove an adapter; when it was the only active one, the first that is left becomes active and trains."""
        self.check_known([name])
        for _, layer in self.adapter_layers():
            layer.delete_adapter(name)
        for wrapper in self._wrappers():
            wrapper.delete_adapter(name)
        del self.peft_config[name]
        if name in self.active_adapters:
            self.set_adapter([n for n in self.active_adapters if n != name] or list(self.peft_config)[:1])

    def set_adapter(self, names: str | Iterable[str], inference_mode: bool = False) -> None:
        """Activate one or more adapters; only they train. A merged model is unmerged; the weights follow when next
        used.

        Raises:
            AdapterError: for a name that is not there, or several adapters with a copy of one module to save.
        """
        names = [names] if isinstance(names, str) else list(dict.fromkeys(names))
        self.check_known(names)
        wrappers = self._wrappers()
        for wrapper in wrappers:
            wrapper.check_active(names)
        for _, layer in self.adapter_layers():
            layer.set_adapter(names, inference_mode)
        for wrapper in wrappers:
            wrapper.set_adapter(names, inference_mode)
        self.active_adapters = names

    def set_scale(self, name: str, scale: float) -> None:
        """Scale an adapter's update on all its layers, 1 being as trained. It is saved with the adapter.

        Raises:
            AdapterError: for a name that is not there.
            ConfigError: when the scale is no finite number.
        """
        self.check_known([name])
        scale = check_scale(scale)
        layers = [layer for _, layer in self.adapter_layers() if name in layer.adapters]
        before = [layer.get_adapter(name).scale for layer in layers]
        try:  # on all layers or on none: a merged weight may not hold the larger update
            for layer in layers:
                layer.get_adapter(name).scale = scale
            for layer in layers:
                if name in layer.merged_adapters:
                    layer.check_mergeable([])
        except AdapterError:
            for layer, was in zip(layers, before, strict=True):
                layer.get_adapter(name).scale = was
            raise
        for layer in layers:
            layer.set_scale(name, scale)
        self.peft_config[name] = self.peft_config[name].copy(scale=scale, scale_pattern={})

    def recorded_config(self, name: str) -> AdapterConfig:
        """The config as it is saved: with the scale that each layer has now."""
        layers = [(path, layer.get_adapter(name)) for path, layer in self.adapter_layers() if name in layer.adapters]
        scale = layers[0][1].scale
        others = {f"^{re.escape(path)}": adapter.scale for path, adapter in layers if adapter.scale != scale}
        return self.peft_config[name].copy(scale=scale, scale_pattern=others)

    # ---- what is asked of all layers --------------------------------------------------------------------------------

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Write adapters (the active ones if None) into the weights until :meth:`unmerge_adapter`.

        Results are always checked for NaN and infinite values first, so ``safe_merge`` changes nothing.
        """
        self.check_known(adapter_names or [])
        layers = [layer for _, layer in self.adapter_layers()]
        names = self.active_adapters if adapter_names is None else adapter_names
        if all(name in layer.merged_adapters for layer in layers for name in names if name in layer.adapters):
            warnings.warn("All adapters are already merged, nothing to do.", stacklevel=3)
            return
        for layer in layers:
            layer.check_mergeable(adapter_names)
        for layer in layers:
            layer.merge(adapter_names)

    def unmerge_adapter(self) -> None:
        """Undo :meth:`merge_adapter`: the base weights are what they were, bit for bit."""
        for _, layer in self.adapter_layers():
            layer.unmerge()

    def unload(self, merge: bool = False) -> nn.Module:
        """The user's model without adapter layers: as it was before, or with the active adapters merged for good."""
        layers = list(self.adapter_layers())
        if merge:
            for _, layer in layers:
                layer.check_mergeable(for_good=True)
        for path, layer in layers:
            _replace(self.model, path, layer.unload(merge))
        for path, wrapper in self.wrapped_modules():
            _replace(self.model, path, wrapper.chosen() if merge else wrapper.original_module)
        if merge:
            _record_untied(self.model)
        self.peft_config, self.active_adapters = {}, []
        return self.model

    def set_mask(self, name: str, config: ShiraConfig, gradients: dict[str, Tensor] | None = None) -> None:
        """Move a SHiRA adapter to the masks of ``config``; values at positions that stay kept stay, new ones are zero.

        Raises:
            AdapterError: when the number of values would change; nothing has changed then.
        """
        self.check_known([name])
        layers = {path: layer for path, layer in self.adapter_layers() if name in layer.adapters}
        base = {path: layer.clean_base_layer() for path, layer in layers.items()}
        config = prepare_config(self.model, config, list(base.values()))
        taken = self._taken(config)
        positions = {
            path: draw_positions(path, base[path], config, (gradients or {}).get(path), taken.get(path))
            for path in layers
        }
        for path, layer in layers.items():
            layer.check_same_size(name, positions[path].numel())
        for path, layer in layers.items():
            layer.set_positions(name, positions[path])
        mask = {field: getattr(config, field) for field in MASK_FIELDS}
        self.peft_config[name] = self.peft_config[name].copy(**mask)

    def _taken(self, config: AdapterConfig) -> dict[str, Tensor]:
        """By layer path, a mask of what the adapters that ``config`` avoids have taken."""
        names = config.avoid if isinstance(config, ShiraConfig) else []
        self.check_known(names)
        lora = [name for name in names if not isinstance(self.peft_config[name], ShiraConfig)]
        if lora:
            raise AdapterError(
                f"`avoid`: '{lora[0]}' is a LoRA adapter, which changes every entry; name SHiRA adapters."
            )
        taken: dict[str, Tensor] = {}
        for path, layer in self.adapter_layers():
            positions = [adapter.delta().positions for name, adapter in layer.named_adapters() if name in names]
            if positions:
                taken[path] = to_mask(torch.cat([p for p in positions if p is not None]), layer.weight) != 0
        return taken

    # ---- helpers ----------------------------------------------------------------------------------------------------

    def _wrappers(self) -> list[ModulesToSaveWrapper]:
        return [wrapper for _, wrapper in self.wrapped_modules()]

    def check_known(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.peft_config:
                raise AdapterError(f"Adapter {name} does not exist: this model has {list(self.peft_config) or 'none'}.")

    def check_new(self, name: str) -> None:
        named = isinstance(name, str) and name and not set(name) & set("./\\\0")
        if not named or name in _RESERVED | {BASE}:
            raise AdapterError(
                f"{name!r} cannot be an adapter name: use a non-empty string without dots and slashes that is "
                "no attribute of a module, for instance 'default'."
            )
        if name in self.peft_config:
            raise AdapterError(f"Adapter with name {name} already exists; delete it first or choose another name.")


def _shared_weights(model: nn.Module) -> set[int]:
    """ids of the parameters that more than one module holds, such as an output layer tied to the embedding."""
    seen: set[int] = set()
    shared: set[int] = set()
    for _, module in model.named_modules(remove_duplicate=False):
        for parameter in module._parameters.values():
            if parameter is not None:
                (shared if id(parameter) in seen else seen).add(id(parameter))
    return shared


def _record_untied(model: nn.Module) -> None:
    """Let transformers' config say so where the head has got a weight of its own, because ``tie_weights`` and
    ``from_pretrained`` would put the embedding's in its place."""
    config: Any = getattr(model, "config", None)
    if not getattr(config, "tie_word_embeddings", False) or not hasattr(model, "get_output_embeddings"):
        return
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()  # type: ignore[operator]
    if head is not None and head.weight is not embedding.weight:
        config.tie_word_embeddings = False


def _replace(model: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)
