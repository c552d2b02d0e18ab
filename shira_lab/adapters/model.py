"""A model with adapters under PEFT's names: code written for one of the two libraries runs with the other.

:class:`PeftModel` holds an :class:`~shira_lab.adapters.tuner.AdapterModel`, which holds the user's model, as in PEFT:
``peft_model.base_model.model``. A name that one of them does not have is looked up in the next.
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, compiler, nn

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.mixed import run_mixed
from shira_lab.adapters.positions import set_mask
from shira_lab.adapters.storage.files import COMPACT_NAME, PICKLE_NAME, WEIGHTS_NAME
from shira_lab.adapters.storage.loading import LoadingMixin
from shira_lab.adapters.storage.save import in_state_dict, save_adapter
from shira_lab.adapters.targets import find_targets
from shira_lab.adapters.tree import check_known
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.adapters.unknown import refuse_unknown
from shira_lab.adapters.weighted import add_weighted_adapter
from shira_lab.errors import AdapterError, StorageError, check_names, check_path, expect
from shira_lab.layers import AdapterLayer
from shira_lab.masks.calibration import Calibration, calibrate
from shira_lab.masks.function import calibrated_by

_INSTEAD_OF_SAVING = (
    "Leave it out: one folder is written, with the adapter and its `modules_to_save`, among which embeddings can be; "
    "`huggingface_hub.upload_folder` uploads it."
)


def get_peft_model(
    model: nn.Module,
    peft_config: AdapterConfig,
    adapter_name: str = "default",
    calibration: Calibration | None = None,
    autocast_adapter_dtype: bool = True,
    **others: Any,
) -> "PeftModel":
    """Freeze ``model``, put a first adapter on it, and activate it. The model's layers are replaced in place.

    >>> model = get_peft_model(nn.Sequential(nn.Linear(8, 8)), ShiraConfig(r=1, target_modules=["0"]))
    >>> model.print_trainable_parameters()
    trainable params: 16 || all params: 88 || trainable%: 18.1818

    Args:
        model: the user's model.
        peft_config: what to train.
        adapter_name: the adapter's name.
        calibration: for masks that rank positions by data: batches of model inputs with labels, or what was found in
            them by layer path, as :func:`~shira_lab.masks.calibration.calibrate` returns.
        autocast_adapter_dtype: keep the adapter's values in float32 where the layer's weight is float16 or bfloat16,
            because small steps of training would be rounded away in those.
        others: further arguments of PEFT's, at their defaults.

    Raises:
        ShiraError: when the config does not fit the model; the model is as before.
    """
    expect(peft_config, AdapterConfig, "peft_config", "a ShiraConfig or LoraConfig")
    return PeftModel(model, peft_config, adapter_name, calibration, autocast_adapter_dtype, **others)


class PeftModel(LoadingMixin):
    """A model with adapters: none yet, or a first one as :func:`get_peft_model` puts it on.

    Other methods come from the :class:`~shira_lab.adapters.tuner.AdapterModel` (``merge_adapter``, ``unload``,
    ``disable_adapter``, ``set_scale``, ...), and the rest from the user's model (``config``, ``device``, ...).

    >>> model = PeftModel(nn.Sequential(nn.Linear(8, 8)))
    >>> for name, mask in (("chance", "random"), ("size", "magnitude")):
    ...     model.add_adapter(name, ShiraConfig(r=1, target_modules=["0"], mask_type=mask))
    >>> model.set_adapter("size")
    >>> list(model.peft_config), model.active_adapters
    (['chance', 'size'], ['size'])

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
        self.__class__ = _with_signature_of(type(self), type(model))  # transformers' Trainer reads it from the class
        if peft_config is None:
            return
        try:
            self.add_adapter(adapter_name, peft_config, *options, **others)
            self.base_model.set_adapter(adapter_name, inference_mode=peft_config.inference_mode)
        except BaseException:  # an interrupt too: no layer may stay half made
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
        return compiler.disable(run_mixed)(self.base_model, self.base_model.model, adapter_names, args, kwargs)

    def generate(self, *args: Any, adapter_names: Sequence[str] | None = None, **kwargs: Any) -> Any:
        """The model's ``generate``; ``adapter_names`` as for :meth:`forward`."""
        generate: Any = self.base_model.model.generate
        if adapter_names is None:
            return generate(*args, **kwargs)
        return compiler.disable(run_mixed)(self.base_model, generate, adapter_names, args, kwargs)

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
        """Add another adapter; it is not activated. Arguments as for :func:`get_peft_model`."""
        if others:
            refuse_unknown("add_adapter", others, "Leave it out: kinds mix, and the config has the rest.", AdapterError)
        expect(peft_config, AdapterConfig, "peft_config", "a ShiraConfig or LoraConfig")
        found = self.calibrated(peft_config, calibration)
        self.base_model.add_adapter(adapter_name, peft_config, found, autocast_adapter_dtype=autocast_adapter_dtype)

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Activate one adapter, or several whose deltas add up. What was merged is unmerged first."""
        names = [adapter_name] if isinstance(adapter_name, str) else check_names(adapter_name, "adapter_name")
        self.base_model.set_adapter(names, inference_mode)

    add_weighted_adapter = add_weighted_adapter
    set_mask = set_mask

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
        if others:
            refuse_unknown("save_pretrained", others, _INSTEAD_OF_SAVING, StorageError)
        path = check_path(save_directory, "save_directory")
        file = COMPACT_NAME if compact else WEIGHTS_NAME if safe_serialization else PICKLE_NAME
        known = list(self.peft_config)
        names = known if selected_adapters is None else check_names(selected_adapters, "selected_adapters")
        check_known(self.peft_config, names)
        look_up = Tensor.detach if state_dict is None else in_state_dict(self, state_dict)
        for name in names if is_main_process else ():
            folder = path if name == "default" else path / name
            save_adapter(self.base_model, name, folder, file, look_up)

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

    def calibrated(
        self, config: AdapterConfig, calibration: Calibration | None, paths: list[str] | None = None
    ) -> dict[str, Tensor] | None:
        """By layer path, what the mask of ``config`` ranks positions by, from the base model; None where it needs no
        data. ``paths`` are the layers; None takes the config's targets."""
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
