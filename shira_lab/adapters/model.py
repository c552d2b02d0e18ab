"""PEFT's face: the same names, so that code written here runs there after changing its import lines, and the other way.

:class:`PeftModel` hands on what is not defined here to its :class:`~shira_lab.adapters.tuner.AdapterModel`.
:mod:`shira_lab.adapters.storage.pretrained` is the part that meets the disk.
"""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from shira_lab.adapters.combine import CombinationType, MajoritySignMethod
from shira_lab.adapters.config import MASK_FIELDS, AdapterConfig, ShiraConfig
from shira_lab.adapters.mixed import run_mixed
from shira_lab.adapters.recipe import draw_positions, prepare_config
from shira_lab.adapters.storage.pretrained import PretrainedMixin
from shira_lab.adapters.taken import taken_entries
from shira_lab.adapters.targets import find_targets
from shira_lab.adapters.tree import ask_all
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.adapters.unknown import refuse_unknown
from shira_lab.adapters.weighted import add_weighted_adapter
from shira_lab.errors import AdapterError, check_names, expect
from shira_lab.layers import AdapterLayer
from shira_lab.masks.calibration import calibrate
from shira_lab.masks.function import calibrated_by

#: Batches to calibrate on, or what :func:`~shira_lab.masks.calibration.calibrate` made of them.
Calibration = Iterable[Any] | dict[str, Tensor]


def get_peft_model(
    model: nn.Module,
    peft_config: AdapterConfig,
    adapter_name: str = "default",
    calibration: Calibration | None = None,
    autocast_adapter_dtype: bool = True,
    **others: Any,
) -> "PeftModel":
    """Freeze ``model``, put a first adapter on it, and activate it. The model's layers are replaced in place.

    Args:
        calibration: for masks that rank positions by data: batches of model inputs with labels, or what was found in
            them by layer path, as :func:`~shira_lab.masks.calibration.calibrate` returns.
        autocast_adapter_dtype: keep the adapter's numbers in float32 where the layer's are float16 or bfloat16, because
            small steps of training would be rounded away in those.
        others: further arguments of PEFT's, at their defaults.

    Raises:
        ShiraError: when the config does not fit the model; the model is as before.
    """
    expect(peft_config, AdapterConfig, "peft_config", "a ShiraConfig or LoraConfig")
    return PeftModel(model, peft_config, adapter_name, calibration, autocast_adapter_dtype, **others)


class PeftModel(PretrainedMixin):
    """A model with adapters: none yet, or a first one as :func:`get_peft_model` puts it on.

    What is not defined here is the :class:`~shira_lab.adapters.tuner.AdapterModel`'s (``merge_adapter``, ``unload``,
    ``disable_adapter``, ``set_scale``, ...), and what that has not is the user's model's (``config``, ``device``, ...).

    Attributes:
        base_model: the :class:`~shira_lab.adapters.tuner.AdapterModel`; ``base_model.model`` is the user's model.
        peft_config: configs by adapter name, as used.
        active_adapters: names of the adapters in use.
    """

    peft_config: dict[str, AdapterConfig]
    active_adapters: list[str]

    def __init__(
        self,
        model: nn.Module,
        peft_config: AdapterConfig | None = None,
        adapter_name: str = "default",
        *options: Any,
        **others: Any,
    ) -> None:
        super().__init__()
        expect(model, nn.Module, "model", "a torch.nn.Module", AdapterError)
        if any(isinstance(module, AdapterModel | AdapterLayer) for module in model.modules()):
            raise AdapterError("This model has adapters already; use `add_adapter` on it, or `unload` them first.")
        self.base_model = AdapterModel(model)
        self.training = model.training
        self.__class__ = _with_signature_of(type(self), type(model))
        if peft_config is None:
            return
        try:
            self.add_adapter(adapter_name, peft_config, *options, **others)
            self.base_model.set_adapter(adapter_name, inference_mode=peft_config.inference_mode)
        except BaseException:  # an interrupt too: nobody else could take half-made layers out again
            self.unload()
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the two classes it was made of: the class of this object is made while running."""
        return _empty, (type(self).__bases__[0], type(self.base_model.model)), self.__dict__

    def _get_name(self) -> str:
        """The name that ``repr`` prints."""
        return type(self).__bases__[0].__name__

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_model":
                raise
            return getattr(self.base_model, name)

    def __dir__(self) -> list[str]:
        """Names that are handed on are completed in a notebook too."""
        return sorted({*super().__dir__(), *dir(self.base_model)})

    def forward(self, *args: Any, adapter_names: Sequence[str] | None = None, **kwargs: Any) -> Any:
        """The model with its active adapters, or with another one for each sample.

        Args:
            adapter_names: for use without gradients: the adapter of each sample, "__base__" for none. A row gets what
                it would get alone, up to the rounding of matrix products of another size. The model runs once for
                each adapter; see :func:`shira_lab.adapters.mixed.run_mixed`.

        Raises:
            AdapterError: when ``adapter_names`` cannot be honoured.
        """
        if adapter_names is None:
            return self.base_model.model(*args, **kwargs)
        return run_mixed(self.base_model, self.base_model.model, adapter_names, args, kwargs)

    def generate(self, *args: Any, adapter_names: Sequence[str] | None = None, **kwargs: Any) -> Any:
        """The model's ``generate``; ``adapter_names`` as for :meth:`forward`."""
        generate: Any = self.base_model.model.generate
        if adapter_names is None:
            return generate(*args, **kwargs)
        return run_mixed(self.base_model, generate, adapter_names, args, kwargs)

    def get_base_model(self) -> nn.Module:
        return self.base_model.model

    def prepare_model_for_gradient_checkpointing(self, model: nn.Module) -> nn.Module:
        """Let the embeddings' output require a gradient, without which a reentrant checkpoint gives none to adapters.

        The argument is PEFT's: the model to prepare, this one or the one below it.
        """
        model.enable_input_require_grads()  # type: ignore[operator]
        return model

    # ---- adapters ---------------------------------------------------------------------------------------------------

    @property
    def active_adapter(self) -> str:
        """The name of the first active adapter."""
        return self.base_model.active_adapters[0]

    def add_adapter(
        self,
        adapter_name: str,
        peft_config: AdapterConfig,
        calibration: Calibration | None = None,
        autocast_adapter_dtype: bool = True,
        **others: Any,
    ) -> None:
        """Put another adapter beside those that are there, not active. Arguments as for :func:`get_peft_model`."""
        refuse_unknown("add_adapter", others, "Leave it out: kinds mix, and the config has the rest.", AdapterError)
        expect(peft_config, AdapterConfig, "peft_config", "a ShiraConfig or LoraConfig")
        found = self._calibrate(peft_config, calibration)
        self.base_model.add_adapter(adapter_name, peft_config, found, autocast_adapter_dtype=autocast_adapter_dtype)

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Activate one adapter, or several whose deltas add up. What was merged is unmerged first."""
        names = [adapter_name] if isinstance(adapter_name, str) else check_names(adapter_name, "adapter_name")
        self.base_model.set_adapter(names, inference_mode)

    def add_weighted_adapter(
        self,
        adapters: Sequence[str],
        weights: Sequence[float],
        adapter_name: str,
        combination_type: CombinationType = "linear",
        density: float | None = None,
        majority_sign_method: MajoritySignMethod = "total",
    ) -> None:
        """Add a SHiRA adapter that combines others as they are now, scales included; it is not activated.

        "linear" is exact: the sum of w_i * delta_i, each entry rounded once. What the other types do, and what
        ``density`` is a share of, says :func:`shira_lab.adapters.combine.combine`; how the result keeps the form
        r(m + n) of an ordinary adapter, :mod:`shira_lab.adapters.weighted`.

        Raises:
            AdapterError: when an adapter is missing or no SHiRA adapter, when an argument cannot work, or when a layer
                has no room for the result; the model is as before.
        """
        add_weighted_adapter(
            self.base_model, adapters, weights, adapter_name, combination_type, density, majority_sign_method
        )

    def set_mask(self, adapter_name: str, peft_config: ShiraConfig, calibration: Calibration | None = None) -> None:
        """Move a SHiRA adapter to the masks of another config; values at positions in both masks stay.

        So do gradients, and what an optimizer that has made a step remembers of these values, such as Adam's moments.
        A new entry starts at zero and without a past.

        Raises:
            AdapterError: when the number of values would change; nothing has changed then.
        """
        expect(peft_config, ShiraConfig, "peft_config", "a ShiraConfig, which says where the new mask lies")
        self.base_model.check_known([adapter_name])
        layers = {path: layer for path, layer in self.base_model.adapter_layers() if adapter_name in layer.adapters}
        found = self._calibrate(peft_config, calibration, list(layers)) or {}
        base = {path: layer.clean_base_layer() for path, layer in layers.items()}
        config = prepare_config(self.base_model.model, peft_config, list(base.values()))
        taken = taken_entries(self.base_model.model, config, self.peft_config)
        positions = {
            path: draw_positions(path, base[path], config, found.get(path), taken.get(path)) for path in layers
        }
        sizes = {layer: positions[path].numel() for path, layer in layers.items()}
        ask_all(self.base_model.model, AdapterLayer.check_untouched)
        ask_all(self.base_model.model, lambda n: n.check_positions(adapter_name, sizes[n]) if n in sizes else None)
        for path, layer in layers.items():
            layer.set_positions(adapter_name, positions[path])
        mask = {field: getattr(config, field) for field in MASK_FIELDS}
        self.peft_config[adapter_name] = self.peft_config[adapter_name].copy(**mask)

    # ---- counting ---------------------------------------------------------------------------------------------------

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """(trainable, all) numbers of parameters."""
        parameters = list(self.parameters())
        return sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters)

    def print_trainable_parameters(self) -> None:
        trainable, total = self.get_nb_trainable_parameters()
        print(
            f"trainable params: {trainable:,d} || all params: {total:,d} || trainable%: {100 * trainable / total:.4f}"
        )

    def _calibrate(
        self, config: AdapterConfig, calibration: Calibration | None, paths: list[str] | None = None
    ) -> dict[str, Tensor] | None:
        """Calibrate the layers at ``paths``, or the config's targets, where its mask wants data.

        This happens on the base model, whatever is active.
        """
        if calibration is None or isinstance(calibration, dict):
            return calibration
        wanted = calibrated_by(config.mask_fn) if isinstance(config, ShiraConfig) else None
        if wanted is None:
            return None
        if paths is None:
            paths = list(find_targets(self.base_model.model, config))
        with self.base_model.disable_adapter():
            return calibrate(self.base_model.model, paths, calibration, collect=wanted)


#: The classes that :func:`_with_signature_of` has made, so that two models of one class share theirs.
_MADE: dict[tuple[type, type], type[PeftModel]] = {}


def _with_signature_of(wrapper: type[PeftModel], model: type[nn.Module]) -> type[PeftModel]:
    """A subclass of ``wrapper`` whose ``forward`` has the signature of the model's.

    transformers' Trainer asks the class which columns of a data set the model takes, and which of them are labels. It
    also looks for "QuestionAnswering" in the class's name, so the name holds that of the model.
    """

    def forward(self: PeftModel, *args: Any, **kwargs: Any) -> Any:
        return wrapper.forward(self, *args, **kwargs)

    forward.__doc__ = wrapper.forward.__doc__
    forward.__signature__ = inspect.signature(model.forward)  # type: ignore[attr-defined]
    content = {"forward": forward, "__module__": __name__}
    return _MADE.setdefault((wrapper, model), type(f"{wrapper.__name__}[{model.__name__}]", (wrapper,), content))


def _empty(wrapper: type[PeftModel], model: type[nn.Module]) -> PeftModel:
    """An object without its attributes, for unpickling and copying."""
    return object.__new__(_with_signature_of(wrapper, model))
