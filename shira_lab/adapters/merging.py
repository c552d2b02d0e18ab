"""What is done to all adapted layers of a model at once: switch them off and on, scale, merge, remove the adapters.

These functions are methods of :class:`~shira_lab.adapters.tuner.AdapterModel`. Each asks all layers first whether they
can do it, so it happens on all of them or on none.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from shira_lab.adapters.tied import mark_shared
from shira_lab.adapters.tree import adapter_layers, ask_all, check_known, replace_module, switched, wrapped_modules
from shira_lab.errors import AdapterError, check_names, check_scale
from shira_lab.layers import AdapterLayer
from shira_lab.layers.modules_to_save import ModulesToSaveWrapper

if TYPE_CHECKING:
    from shira_lab.adapters.tuner import AdapterModel


def enable_adapter_layers(self: "AdapterModel") -> None:
    """Undo :meth:`disable_adapter_layers`."""
    for module in switched(self.model):
        _switch(module, disable=False)


def disable_adapter_layers(self: "AdapterModel") -> None:
    """From here on the model is the base model; base weights are back in place, bit for bit."""
    ask_all(self.model, AdapterLayer.check_untouched)
    for module in switched(self.model):
        _switch(module, disable=True)


@contextmanager
def disable_adapter(self: "AdapterModel") -> Iterator[None]:
    """Inside, the model is the base model, bit for bit; then each layer is as before."""
    ask_all(self.model, AdapterLayer.check_untouched)
    before = [(module, module.disable_adapters) for module in switched(self.model)]
    try:
        self.disable_adapter_layers()
        yield
    finally:
        for module, was in before:
            _switch(module, disable=was)


def set_scale(self: "AdapterModel", name: str, scale: float) -> None:
    """Scale the whole update of an adapter, active or not: 0 is the base model, 1 the adapter as it was trained.

    The scale is saved with the adapter and loaded again; PEFT ignores it.

    Raises:
        AdapterError: for a name that is not there.
        ConfigError: when the scale is no finite number.
    """
    check_known(self.peft_config, [name])
    scale = check_scale(scale)
    layers = [layer for _, layer in adapter_layers(self.model) if name in layer.adapters]
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


def merge_adapter(self: "AdapterModel", adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
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
    check_known(self.peft_config, names)
    layers = [layer for _, layer in adapter_layers(self.model)]
    if all(name in layer.merged_adapters for layer in layers for name in names if name in layer.adapters):
        return warnings.warn("All adapters are already merged, nothing to do.", stacklevel=2)
    mark_shared(self.model)
    ask_all(self.model, lambda layer: layer.check_mergeable(adapter_names))
    for layer in layers:
        layer.merge(adapter_names)


def unmerge_adapter(self: "AdapterModel") -> None:
    """Undo :meth:`merge_adapter`: the base weights are what they were, bit for bit."""
    ask_all(self.model, AdapterLayer.check_untouched)
    for _, layer in adapter_layers(self.model):
        layer.unmerge()


def merge_and_unload(
    self: "AdapterModel", progressbar: bool = False, safe_merge: bool = False, adapter_names: list[str] | None = None
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
    for path, layer in list(adapter_layers(self.model)):
        replace_module(self.model, path, layer.unload(merge=True))
    for path, wrapper in wrapped_modules(self.model):
        replace_module(self.model, path, wrapper.chosen())
    _record_untied(self.model)
    return _bare(self)


def unload(self: "AdapterModel") -> nn.Module:
    """The user's model with its own layers and weights, still frozen; the adapters are gone."""
    ask_all(self.model, AdapterLayer.check_untouched)
    for path, layer in list(adapter_layers(self.model)):
        replace_module(self.model, path, layer.unload())
    for path, wrapper in wrapped_modules(self.model):
        replace_module(self.model, path, wrapper.original_module)
    return _bare(self)


def _bare(self: "AdapterModel") -> nn.Module:
    self.peft_config, self.active_adapters = {}, []
    return self.model


def _switch(module: AdapterLayer | ModulesToSaveWrapper, disable: bool) -> None:
    module.disable_adapters = disable
    if isinstance(module, AdapterLayer) and module.merged:
        module.sync()  # what is merged is in the weight, whether or not the layer runs


def _record_untied(model: nn.Module) -> None:
    """Let transformers' config say so where the head has got a weight of its own, because ``tie_weights`` and
    ``from_pretrained`` would put the embedding's in its place."""
    config: Any = getattr(model, "config", None)
    if not getattr(config, "tie_word_embeddings", False) or not hasattr(model, "get_output_embeddings"):
        return
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()  # type: ignore[operator]
    if head is not None and head.weight is not embedding.weight:
        config.tie_word_embeddings = False
