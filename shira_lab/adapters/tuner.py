"""The adapted model: finds the target layers, puts adapters on them, and activates these.

PEFT calls this object ``base_model``; the user's model is its ``model``.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from torch import Tensor, nn

from shira_lab.adapters import merging
from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.modules_to_save import find_modules_to_save, with_task_head, wrap_modules
from shira_lab.adapters.new_adapter import make_adapter, prepare_config
from shira_lab.adapters.positions import taken_entries
from shira_lab.adapters.targets import find_targets, warn_unmatched
from shira_lab.adapters.tied import mark_shared
from shira_lab.adapters.tree import (
    adapter_layers,
    ask_all,
    check_adapter_name,
    check_known,
    replace_module,
    switched,
    wrapped_modules,
)
from shira_lab.errors import AdapterError, expect
from shira_lab.layers import AdapterLayer
from shira_lab.layers.modules_to_save import ModulesToSaveWrapper


class AdapterModel(nn.Module):
    """A model whose target layers are :class:`~shira_lab.layers.AdapterLayer`.

    Attributes:
        model: the user's model.
        peft_config: configs by adapter name, as used: seeds that were drawn are recorded in them.
        active_adapters: names of the adapters in use.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training
        self.peft_config: dict[str, AdapterConfig] = {}
        self.active_adapters: list[str] = []

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's output, and the last hidden state of a language model beside it.

        In transformers ``base_model`` is the backbone of a model. A trainer that computes the loss from hidden states,
        as TRL's do, calls it for this one.
        """
        if not hasattr(self.model, "base_model_prefix"):
            return self.model(*args, **kwargs)
        output = self.model(*args, **{"output_hidden_states": True, **kwargs})
        states = output.get("hidden_states") if isinstance(output, Mapping) else None
        if states and "last_hidden_state" not in output:
            output["last_hidden_state"] = states[-1]
        return output

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model":
                raise
            return getattr(self.model, name)

    def adapter_layers(self) -> Iterator[tuple[str, AdapterLayer]]:
        """(path, layer) of all adapted layers."""
        return adapter_layers(self.model)

    def wrapped_modules(self) -> list[tuple[str, ModulesToSaveWrapper]]:
        """(path, wrapper) of all modules of which adapters have a copy."""
        return wrapped_modules(self.model)

    @property
    def active_adapter(self) -> str | list[str]:
        """The name of the active adapter, or the names when there are more or fewer than one, as in PEFT."""
        return self.active_adapters[0] if len(self.active_adapters) == 1 else self.active_adapters

    @property
    def has_active_enabled_adapter(self) -> bool:
        """Whether any adapter takes part in the forward pass."""
        return bool(self.active_adapters) and not all(module.disable_adapters for module in switched(self.model))

    @property
    def prefix(self) -> str:
        """How the names of the adapter's parameters begin: "shira_" or "lora_", by the first adapter's kind."""
        return next((f"{config.peft_type.lower()}_" for config in self.peft_config.values()), "")

    # ---- adapters come and go ---------------------------------------------------------------------------------------

    def add_adapter(
        self,
        name: str,
        config: AdapterConfig,
        statistics: dict[str, Tensor] | None = None,
        positions: dict[str, Tensor] | None = None,
        autocast_adapter_dtype: bool = True,
    ) -> None:
        """Put a new adapter on all target layers of ``config``. Everything is made before anything is changed.

        Args:
            statistics: what was calibrated, by layer path, for the masks that need it.
            positions: flat positions by layer path, to use instead of the mask function (loading does).
            autocast_adapter_dtype: keep the adapter's numbers in float32 where the layer's are float16 or bfloat16.

        Raises:
            ConfigError, MaskError, AdapterError: when it cannot be done; the model is as before.
        """
        check_adapter_name(name, self.peft_config)
        if config.task_type or config.modules_to_save:
            config = with_task_head(self.model, config)
        targets = find_targets(self.model, config)
        warn_unmatched(self.model, config, targets, stacklevel=3)
        config = prepare_config(self.model, config, list(targets.values()), new=positions is None)
        taken: dict[str, Tensor] = {}
        if positions is None and isinstance(config, ShiraConfig) and config.avoid:
            taken = taken_entries(self.model, config.avoid, self.peft_config)
        made = {
            path: make_adapter(
                path, base, config, (statistics or {}).get(path), (positions or {}).get(path),
                taken.get(path), autocast_adapter_dtype,
            )
            for path, base in targets.items()
        }  # fmt: skip
        in_full = find_modules_to_save(self.model, config.modules_to_save) if config.modules_to_save else []
        if not self.peft_config:
            self.model.requires_grad_(False)
        if in_full:
            wrap_modules(self.model, name, in_full)
        existing = dict(self.adapter_layers())
        for path, adapter in made.items():
            layer = existing.get(path)
            if layer is None:
                layer = AdapterLayer(targets[path]).train(targets[path].training)
                replace_module(self.model, path, layer)
            layer.add_adapter(name, adapter)
        mark_shared(self.model)
        self.peft_config[name] = config

    def delete_adapter(self, name: str) -> None:
        """Remove an adapter; when it was the only active one, the first that is left becomes active and trains."""
        check_known(self.peft_config, [expect(name, str, "adapter_name", "one name", AdapterError)])
        ask_all(self.model, AdapterLayer.check_untouched)
        for _, layer in self.adapter_layers():
            layer.delete_adapter(name)
        for _, wrapper in self.wrapped_modules():
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
        check_known(self.peft_config, names)
        wrappers = [wrapper for _, wrapper in self.wrapped_modules()]
        for wrapper in wrappers:
            wrapper.check_active(names)
        ask_all(self.model, AdapterLayer.check_untouched)
        for _, layer in self.adapter_layers():
            layer.set_adapter(names, inference_mode)
        for wrapper in wrappers:
            wrapper.set_adapter(names, inference_mode)
        self.active_adapters = names

    # ---- beside training --------------------------------------------------------------------------------------------

    enable_adapter_layers = merging.enable_adapter_layers
    disable_adapter_layers = merging.disable_adapter_layers
    disable_adapter = merging.disable_adapter
    set_scale = merging.set_scale
    merge_adapter = merging.merge_adapter
    unmerge_adapter = merging.unmerge_adapter
    merge_and_unload = merging.merge_and_unload
    unload = merging.unload

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Cast and move all layers, or none where one of them cannot hold what is merged into it."""
        ask_all(self.model, lambda layer: layer.check_cast(fn))
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        ask_all(self.model, AdapterLayer.check_untouched)  # PyTorch loads the layers after this
        super()._load_from_state_dict(*args, **kwargs)
