"""The adapted model: finds the target layers, wraps them, and does to all of them what is asked for one.

PEFT calls this object ``base_model``; the user's model is its ``model``.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from torch import Tensor, nn

from shira_lab.adapters.config import AdapterConfig, check_scale
from shira_lab.adapters.modules_to_save import ModulesToSaveWrapper, find_modules_to_save, with_task_head, wrap_modules
from shira_lab.adapters.names import check_adapter_name
from shira_lab.adapters.recipe import make_adapter, prepare_config
from shira_lab.adapters.taken import taken_entries
from shira_lab.adapters.targets import find_targets
from shira_lab.adapters.tied import mark_shared, record_untied
from shira_lab.adapters.tree import adapter_layers, ask_all, replace_module, switched, wrapped_modules
from shira_lab.adapters.unmatched import warn_unmatched
from shira_lab.errors import AdapterError, check_names, expect
from shira_lab.layers import AdapterLayer


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
        config = with_task_head(self.model, config)
        targets = find_targets(self.model, config)
        warn_unmatched(self.model, config, targets, stacklevel=3)
        config = prepare_config(self.model, config, list(targets.values()), new=positions is None)
        taken = taken_entries(self.model, config, self.peft_config) if positions is None else {}
        made = {
            path: make_adapter(
                path, base, config, (statistics or {}).get(path), (positions or {}).get(path),
                taken.get(path), autocast_adapter_dtype,
            )
            for path, base in targets.items()
        }  # fmt: skip
        saved = find_modules_to_save(self.model, config.modules_to_save)
        if not self.peft_config:
            self.model.requires_grad_(False)
        wrap_modules(self.model, name, saved)
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
        self.check_known([expect(name, str, "adapter_name", "one name", AdapterError)])
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
        self.check_known(names)
        wrappers = [wrapper for _, wrapper in self.wrapped_modules()]
        for wrapper in wrappers:
            wrapper.check_active(names)
        ask_all(self.model, AdapterLayer.check_untouched)
        for _, layer in self.adapter_layers():
            layer.set_adapter(names, inference_mode)
        for wrapper in wrappers:
            wrapper.set_adapter(names, inference_mode)
        self.active_adapters = names

    def set_scale(self, name: str, scale: float) -> None:
        """Scale the whole update of an adapter, active or not: 0 is the base model, 1 the adapter as it was trained.

        The scale is saved with the adapter and loaded again; PEFT ignores it.

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
            ask_all(self.model, lambda layer: layer.check_mergeable([]))
        except AdapterError:
            for layer, was in zip(layers, before, strict=True):
                layer.get_adapter(name).scale = was
            raise
        for layer in layers:
            layer.set_scale(name, scale)
        self.peft_config[name] = self.peft_config[name].copy(scale=scale, scale_pattern={})

    # ---- on and off -------------------------------------------------------------------------------------------------

    def enable_adapter_layers(self) -> None:
        """Undo :meth:`disable_adapter_layers`."""
        for module in switched(self.model):
            _switch(module, disable=False)

    def disable_adapter_layers(self) -> None:
        """From here on the model is the base model; base weights are back in place, bit for bit."""
        ask_all(self.model, AdapterLayer.check_untouched)
        for module in switched(self.model):
            _switch(module, disable=True)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Inside, the model is the base model, bit for bit; then each layer is as before."""
        ask_all(self.model, AdapterLayer.check_untouched)
        before = [(module, module.disable_adapters) for module in switched(self.model)]
        try:
            self.disable_adapter_layers()
            yield
        finally:
            for module, was in before:
                _switch(module, disable=was)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Cast and move all layers, or none where one of them cannot hold what is merged into it."""
        ask_all(self.model, lambda layer: layer.check_cast(fn))
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        ask_all(self.model, AdapterLayer.check_untouched)  # PyTorch loads the layers after this
        super()._load_from_state_dict(*args, **kwargs)

    # ---- what is asked of all layers --------------------------------------------------------------------------------

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Write these adapters (the active ones if None) into the weights until :meth:`unmerge_adapter`.

        A merged entry is W + S, rounded once to the weight's dtype: by at most 2^-8 of itself in bfloat16, 2^-11 in
        float16, 2^-24 in float32. An update below half of that share of its weight is lost in it. The adapter keeps its
        values as they are; an active adapter that is not merged acts through the same rounded weight.

        Args:
            safe_merge: changes nothing, as results are always checked for NaN and infinite values first.

        Raises:
            AdapterError: when a name is not there, a weight is shared with another module, or a result is not finite;
                nothing has changed then.
        """
        names = self.active_adapters if adapter_names is None else check_names(adapter_names, "adapter_names")
        self.check_known(names)
        layers = [layer for _, layer in self.adapter_layers()]
        if all(name in layer.merged_adapters for layer in layers for name in names if name in layer.adapters):
            return warnings.warn("All adapters are already merged, nothing to do.", stacklevel=2)
        mark_shared(self.model)
        ask_all(self.model, lambda layer: layer.check_mergeable(adapter_names))
        for layer in layers:
            layer.merge(adapter_names)

    def unmerge_adapter(self) -> None:
        """Undo :meth:`merge_adapter`: the base weights are what they were, bit for bit."""
        ask_all(self.model, AdapterLayer.check_untouched)
        for _, layer in self.adapter_layers():
            layer.unmerge()

    def merge_and_unload(
        self, progressbar: bool = False, safe_merge: bool = False, adapter_names: list[str] | None = None
    ) -> nn.Module:
        """The user's model with the active (or named) adapters merged for good, adapter layers gone.

        Weights are rounded as :meth:`merge_adapter` says, and the exact values are gone with their layers: save the
        adapter first, or merge into a model that was loaded in float32.

        A head that was tied to the embedding and has an adapter gets a weight of its own. Where the model has
        transformers' ``config``, its ``tie_word_embeddings`` is then False, so that the head stays as it is.
        """
        if adapter_names is not None:
            self.set_adapter(check_names(adapter_names, "adapter_names"))
        mark_shared(self.model)
        ask_all(self.model, lambda layer: layer.check_mergeable(for_good=True))
        for path, layer in list(self.adapter_layers()):
            replace_module(self.model, path, layer.unload(merge=True))
        for path, wrapper in self.wrapped_modules():
            replace_module(self.model, path, wrapper.chosen())
        record_untied(self.model)
        return self._bare()

    def unload(self) -> nn.Module:
        """The user's model as it was before, adapter layers gone."""
        ask_all(self.model, AdapterLayer.check_untouched)
        for path, layer in list(self.adapter_layers()):
            replace_module(self.model, path, layer.unload())
        for path, wrapper in self.wrapped_modules():
            replace_module(self.model, path, wrapper.original_module)
        return self._bare()

    def _bare(self) -> nn.Module:
        self.peft_config, self.active_adapters = {}, []
        return self.model

    def check_known(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.peft_config:
                raise AdapterError(f"Adapter {name} does not exist: this model has {list(self.peft_config) or 'none'}.")


def _switch(module: AdapterLayer | ModulesToSaveWrapper, disable: bool) -> None:
    module.disable_adapters = disable
    if isinstance(module, AdapterLayer) and module.merged:
        module.sync()  # what is merged is in the weight, whether or not the layer runs
