"""The configuration of an adapter, as PEFT's ``adapter_config.json`` stores it.

Two dataclasses, :class:`ShiraConfig` and :class:`LoraConfig`, over what they share. Rules are enforced when a config is
made; those that need the layer's shape, when it meets the model.
"""

import dataclasses
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from shira_lab.adapters.mask_choice import KeptName, MaskChoice
from shira_lab.adapters.patterns import all_of, check_patterns, first_match, names_or_pattern
from shira_lab.adapters.storage.files import read_json, write_atomic
from shira_lab.adapters.tasks import PeftType, TaskType
from shira_lab.adapters.unknown import takes_pefts_fields
from shira_lab.budget import check_r
from shira_lab.errors import ConfigError, StorageError, check_seed, expect, is_finite
from shira_lab.masks import MaskFn, mask_types
from shira_lab.masks.function import STATISTICS

CONFIG_NAME = "adapter_config.json"
#: The fields of a :class:`ShiraConfig` that say which positions train.
MASK_FIELDS = ("mask_type", "random_seed", "seed_per_layer", "avoid", "mask_kwargs", "mask_fn")


#: ``init_lora_weights`` of PEFT's that are not offered here, and say nothing about an adapter that has been trained:
#: unlike "pissa" and its kind they left the base weights alone.
STARTS_OF_FILES = ("eva", "orthogonal")


@takes_pefts_fields
@dataclass
class AdapterConfig:
    """What SHiRA and LoRA configs share. Further fields of PEFT's are taken at PEFT's default.

    Args:
        r: size of the adapter: r(m + n) trainable numbers for an (m, n) weight.
        target_modules: names (an exact path or its ending), one regular expression over the whole path, or
            "all-linear". None takes the attention projections of a known architecture.
        exclude_modules: names or one regular expression; these layers are left alone.
        layers_to_transform: indices of the transformer layers to adapt; None adapts all.
        rank_pattern: r by layer, as {pattern: r}; a pattern matches a path or its ending, as in PEFT.
        modules_to_save: further modules that train in full and are saved with the adapter, such as a classifier head.
        fan_in_fan_out: the weight is stored as (in, out), as in GPT-2's Conv1D. Set to what the layer is, with a
            warning.
        inference_mode: the adapter is loaded to be used, not trained.
        scale: factor of the whole update, 1 as trained; ``set_scale`` changes it. PEFT ignores it, with a warning.
        scale_pattern: scale by layer, as ``rank_pattern``.
        task_type: a :class:`~shira_lab.adapters.tasks.TaskType`, or None. The head of a classification or question
            answering model is added to ``modules_to_save``, because nobody has trained it yet.
        base_model_name_or_path, revision: which model the adapter is for; recorded when it is put on one.
        auto_mapping: the class of that model and where it comes from, for PEFT's ``AutoPeftModel``.
    """

    peft_type: ClassVar[str] = ""
    #: Fields that PEFT's config class does not have; written only when they say something.
    _beyond_peft: ClassVar[frozenset[str]] = frozenset({"scale", "scale_pattern"})

    r: int  # each kind has its own default
    target_modules: list[str] | set[str] | str | None = None
    exclude_modules: list[str] | set[str] | str | None = None
    layers_to_transform: list[int] | int | None = None
    rank_pattern: dict[str, int] = field(default_factory=dict)
    modules_to_save: list[str] | None = None
    fan_in_fan_out: bool = False
    inference_mode: bool = False
    scale: float = 1.0
    scale_pattern: dict[str, float] = field(default_factory=dict)
    task_type: str | None = None
    base_model_name_or_path: str | None = None
    revision: str | None = None
    auto_mapping: dict[str, str] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.r = check_r(self.r)
        for f in dataclasses.fields(self):
            if f.type is bool:
                expect(getattr(self, f.name), bool, f.name, "True or False")
        self.target_modules = names_or_pattern(self.target_modules, "target_modules")
        self.exclude_modules = names_or_pattern(self.exclude_modules, "exclude_modules")
        if isinstance(self.layers_to_transform, int):
            self.layers_to_transform = [self.layers_to_transform]
        if self.layers_to_transform is not None and not all_of(self.layers_to_transform, int):
            raise ConfigError(
                f"`layers_to_transform` should be a list of layer indices; got {self.layers_to_transform!r}."
            )
        check_patterns(self.rank_pattern, "rank_pattern")
        for pattern, r in self.rank_pattern.items():
            check_r(r, f"rank_pattern['{pattern}']")
        check_patterns(self.scale_pattern, "scale_pattern")
        for scale in (self.scale, *self.scale_pattern.values()):
            check_scale(scale)
        if self.modules_to_save is not None and not all_of(self.modules_to_save, str):
            raise ConfigError(f"`modules_to_save` should be a list of names; got {self.modules_to_save!r}.")
        if self.task_type is not None and self.task_type not in list(TaskType):
            raise ConfigError(
                f"Invalid task type: {self.task_type!r}. Must be one of the following task types: "
                f"{', '.join(TaskType)}."
            )

    def r_for(self, layer: str) -> int:
        """The r of the layer at this path: that of the first matching ``rank_pattern``, else ``r``."""
        return first_match(self.rank_pattern, layer, self.r)

    def scale_for(self, layer: str) -> float:
        """The scale of the layer at this path: that of the first matching ``scale_pattern``, else ``scale``."""
        return first_match(self.scale_pattern, layer, self.scale)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``adapter_config.json``: plain JSON values, sets as sorted lists."""
        out: dict[str, Any] = {"peft_type": self.peft_type}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.name == "mask_fn" or (f.name in self._beyond_peft and value == _default(f)):
                continue
            out[f.name] = sorted(value) if isinstance(value, set) else value
        return out

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write ``adapter_config.json`` into the folder, whole or not at all."""
        write_atomic(Path(save_directory) / CONFIG_NAME, self.to_json().encode())

    def to_json(self) -> str:
        """The text of ``adapter_config.json``.

        Raises:
            StorageError: when a field holds what JSON has no form for.
        """
        try:
            return json.dumps(self.to_dict(), indent=2, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise StorageError(
                f"The config cannot be written as JSON ({error}); give it numbers, strings, lists and dicts alone."
            ) from None

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> Self:
        """Read ``adapter_config.json`` of a folder, PEFT's or ours. See :meth:`from_dict`."""
        return cls.from_dict(read_json(Path(directory) / CONFIG_NAME))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """The config of this content; called on :class:`AdapterConfig`, ``peft_type`` chooses the class.

        Raises:
            ConfigError: when ``peft_type`` is another one, a field's value cannot work, or an unknown field has one.
        """
        kinds = {kind.peft_type: kind for kind in (cls, *cls.__subclasses__()) if kind.peft_type}
        kind = kinds.get(str(content.get("peft_type")))
        if kind is None:
            expected = " or ".join(f"'{name}'" for name in kinds)
            raise ConfigError(f"`peft_type` is {content.get('peft_type')!r}; expected {expected}.")
        return kind(**content)

    def copy(self, **changes: Any) -> Self:
        """A config with some fields changed."""
        return dataclasses.replace(self, **changes)


@takes_pefts_fields
@dataclass
class ShiraConfig(MaskChoice, AdapterConfig):
    """SHiRA: train r(m + n) entries of each targeted (m, n) weight, at the positions of a mask.

    Args:
        r: budget factor; it sets the number of entries and does not bound the rank.
        mask_type: one of ``shira_lab.masks.mask_types()``. For another name, set ``config.mask_fn`` to your function.
            Assigned later, it chooses another mask.
        random_seed: seed of the masks that draw. None draws one when the adapter is made, and records it.
        seed_per_layer: False gives every layer the mask of ``random_seed`` itself, as PEFT does, so layers of one shape
            share one mask; True derives a seed from (random_seed, layer path) for each.
        avoid: names of SHiRA adapters on the same model whose positions this one leaves out, its budget still exact.
        mask_kwargs: further arguments of the mask function, for instance {"block_size": 8}.
        init_weights: start the entries at zero, so that the adapted model is the base model; False starts them at
            randn, for tests.
        mask_fn: the function of ``mask_type``, or your own ``mask_fn(base_layer, r, **kwargs) -> mask``, of the mask
            type "custom" unless you give it a name. It is not stored, the positions it gave are.

    Raises:
        ConfigError: for a value that cannot work, naming the field.
    """

    peft_type: ClassVar[str] = PeftType.SHIRA
    _beyond_peft: ClassVar[frozenset[str]] = AdapterConfig._beyond_peft | {
        "exclude_modules", "layers_to_transform", "rank_pattern", "seed_per_layer", "avoid", "mask_kwargs"
    }  # fmt: skip

    r: int = 32
    mask_type: str = KeptName("random")
    random_seed: int | None = None
    seed_per_layer: bool = False
    avoid: list[str] = field(default_factory=list)
    mask_kwargs: dict[str, Any] = field(default_factory=dict)
    init_weights: bool = True
    mask_fn: MaskFn | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.random_seed is not None:
            check_seed(self.random_seed)
        if not all_of(self.avoid, str):
            raise ConfigError(f"`avoid` should be a list of adapter names; got {self.avoid!r}.")
        expect(self.mask_kwargs, dict, "mask_kwargs", "a dict of further arguments of the mask function")
        given = sorted({"base_layer", "r", "random_seed", "avoid", *STATISTICS} & set(self.mask_kwargs))
        if given:
            raise ConfigError(
                f"`mask_kwargs` should not hold {', '.join(given)}: the mask function is given these anyway."
            )
        if self.mask_fn is None and not self.inference_mode:
            warnings.warn(
                f"`mask_type='{self.mask_type}'` is not recognized; known are {', '.join(mask_types())}. Please supply "
                "your own masking function by calling `config.mask_fn = my_mask_fn`.",
                stacklevel=4,
            )

    def copy(self, **changes: Any) -> Self:
        """A config with some fields changed; another ``mask_type`` brings its own function."""
        if "mask_type" in changes:
            changes = {"mask_fn": None, **changes}
        return super().copy(**changes)


# A field that is computed: a dataclass takes it among its arguments, and a property says what it is.
ShiraConfig.mask_fn = property(ShiraConfig.get_mask_fn, ShiraConfig.set_mask_fn)  # type: ignore[assignment]


@takes_pefts_fields
@dataclass
class LoraConfig(AdapterConfig):
    """LoRA (arXiv 2106.09685): W' = W + scaling * B A, with A (r, n), B (m, r), scaling = lora_alpha / r.

    Args:
        r: rank of the update.
        lora_alpha: numerator of the scaling.
        use_rslora: divide by sqrt(r) instead of r (arXiv 2312.03732).
        lora_dropout: dropout on the input of A while training.
        init_lora_weights: True starts B at zero and A as PEFT does (Kaiming uniform); "gaussian" draws A from
            N(0, 1/r^2); False draws both, for tests. A file may also say "eva" or "orthogonal", other starts of a
            training that is over.
        alpha_pattern: lora_alpha by layer, as ``rank_pattern``.
        bias: only "none": biases stay frozen.
    """

    peft_type: ClassVar[str] = PeftType.LORA

    r: int = 8
    lora_alpha: float = 8
    lora_dropout: float = 0.0
    use_rslora: bool = False
    init_lora_weights: bool | Literal["gaussian", "eva", "orthogonal"] = True
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    bias: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_patterns(self.alpha_pattern, "alpha_pattern")
        for alpha in (self.lora_alpha, *self.alpha_pattern.values()):
            if not is_finite(alpha) or alpha < 0:
                raise ConfigError(f"`lora_alpha` should be a number that is not negative; got {alpha!r}.")
        if not is_finite(self.lora_dropout) or not 0.0 <= self.lora_dropout < 1.0:
            raise ConfigError(f"`lora_dropout` should be in [0, 1); got {self.lora_dropout!r}.")
        if self.init_lora_weights not in (True, False, "gaussian", *STARTS_OF_FILES):
            raise ConfigError(
                f"`init_lora_weights` should be True, False or 'gaussian'; got {self.init_lora_weights!r}."
            )
        if self.bias != "none":
            raise ConfigError(f"`bias` should be 'none', biases stay frozen here; got {self.bias!r}.")

    def scaling_for(self, layer: str) -> float:
        """lora_alpha / r of the layer at this path, or lora_alpha / sqrt(r) with ``use_rslora``."""
        r = self.r_for(layer)
        alpha = first_match(self.alpha_pattern, layer, self.lora_alpha)
        return alpha / r**0.5 if self.use_rslora else alpha / r


def _default(f: "dataclasses.Field[Any]") -> Any:
    return f.default if f.default_factory is dataclasses.MISSING else f.default_factory()


def check_scale(scale: Any) -> float:
    """Return ``scale`` as a float if it is a finite number.

    Raises:
        ConfigError: for anything else.
    """
    if not is_finite(scale):
        raise ConfigError(f"`scale` should be a finite number; got {scale!r}.")
    return float(scale)
