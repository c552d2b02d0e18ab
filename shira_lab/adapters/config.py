"""The configuration of an adapter, as PEFT's ``adapter_config.json`` stores it.

:class:`AdapterConfig` has what SHiRA and LoRA share, :class:`ShiraConfig` what SHiRA adds;
:mod:`shira_lab.adapters.lora_config` has LoRA's. Values are checked when a config is made; what depends on the shape of
a layer, when the config is used on a model.
"""

import dataclasses
import functools
import inspect
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from shira_lab.adapters.patterns import all_of, check_patterns, first_match, names_or_pattern
from shira_lab.adapters.storage.files import CONFIG_NAME, find_files, read_json, write_atomic
from shira_lab.adapters.tasks import PeftType, TaskType
from shira_lab.adapters.unknown import check_unknown_fields
from shira_lab.budget import check_r
from shira_lab.errors import ConfigError, StorageError, check_scale, check_seed, expect
from shira_lab.masks import MaskFn, find_mask, mask_types
from shira_lab.masks.function import STATISTICS, mask_name

C = TypeVar("C", bound=type["AdapterConfig"])


def takes_pefts_fields(cls: C) -> C:
    """Decorator: the config class also takes `mask_fn` by that name, and unknown fields that are off, as for PEFT; see
    :func:`~shira_lab.adapters.unknown.check_unknown_fields`.

    >>> ShiraConfig(r=4, use_dora=False).r
    4
    """
    init: Any = cls.__init__
    known = set(inspect.signature(init).parameters)

    @functools.wraps(init)
    def __init__(self: "AdapterConfig", *args: Any, **given: Any) -> None:
        if "mask_fn" in given and "custom_mask_fn" in known:  # a property, and no field
            given["custom_mask_fn"] = given.pop("mask_fn")
        if given.keys() - known:
            check_unknown_fields(cls, {name: value for name, value in given.items() if name not in known})
        init(self, *args, **{name: value for name, value in given.items() if name in known})

    cls.__init__ = __init__  # type: ignore[method-assign]
    return cls


@takes_pefts_fields
@dataclass
class AdapterConfig:
    """What SHiRA and LoRA configs share. Further fields of PEFT's are taken at PEFT's default.

    >>> AdapterConfig.from_dict({"peft_type": "SHIRA", "r": 4}).r
    4

    Args:
        r: size of the adapter: r(m + n) trainable parameters for an (m, n) weight.
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
            answering model is added to ``modules_to_save``, because its weights are random at first.
        base_model_name_or_path, revision: which model the adapter is for; recorded when it is put on one.
        auto_mapping: the class of that model and where it comes from, for PEFT's ``AutoPeftModel``.
    """

    peft_type: ClassVar[str] = ""
    #: Fields that PEFT's config class does not have; written only when they differ from their default.
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
        if self.layers_to_transform is not None:
            if not all_of(self.layers_to_transform, int):
                raise ConfigError(
                    f"`layers_to_transform` should be a list of layer indices; got {self.layers_to_transform!r}."
                )
            self.layers_to_transform = list(self.layers_to_transform)
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
        """The r of the layer at this path: that of the first matching ``rank_pattern``, else ``r``.

        >>> ShiraConfig(r=8, rank_pattern={"v_proj": 2}).r_for("layers.0.v_proj")
        2
        """
        return first_match(self.rank_pattern, layer, self.r)

    def scale_for(self, layer: str) -> float:
        """The scale of the layer at this path: that of the first matching ``scale_pattern``, else ``scale``.

        >>> ShiraConfig(scale_pattern={"v_proj": 0.5}).scale_for("layers.0.q_proj")
        1.0
        """
        return first_match(self.scale_pattern, layer, self.scale)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``adapter_config.json``: plain JSON values, sets as sorted lists.

        >>> ShiraConfig(target_modules=["v_proj", "q_proj"]).to_dict()["target_modules"]
        ['q_proj', 'v_proj']
        """
        out: dict[str, Any] = {"peft_type": self.peft_type}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            default = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
            if f.name != "custom_mask_fn" and not (f.name in self._beyond_peft and value == default):
                out[f.name] = sorted(value) if isinstance(value, set) else value
        return out

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write ``adapter_config.json`` into the folder, whole or not at all."""
        write_atomic(Path(save_directory) / CONFIG_NAME, self.to_json().encode())

    def to_json(self) -> str:
        """The text of ``adapter_config.json``.

        Raises:
            StorageError: when JSON has no form for the value of a field.
        """
        try:
            return json.dumps(self.to_dict(), indent=2, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise StorageError(
                f"The config cannot be written as JSON ({error}); give it numbers, strings, lists and dicts alone."
            ) from None

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> Self:
        """The config of the adapter in a folder, PEFT's or ours; raises as :meth:`from_dict`."""
        return cls.from_dict(read_json(find_files(Path(directory))[0]))

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
        """A config with some fields changed.

        >>> ShiraConfig(r=8).copy(mask_type="magnitude").r
        8
        """
        return dataclasses.replace(self, **changes)


@takes_pefts_fields
@dataclass
class ShiraConfig(AdapterConfig):
    """SHiRA: train r(m + n) entries of each targeted (m, n) weight, at the positions of a mask.

    >>> config = ShiraConfig(r=8, target_modules=["q_proj", "v_proj"], mask_type="magnitude")
    >>> config.mask_fn.__name__
    'magnitude_mask'

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
        mask_fn: your own function ``mask_fn(base_layer, r, **kwargs) -> mask``; or one that has a name, instead of
            ``mask_type``. Your own gets the mask type "custom", unless ``mask_type`` gives it a new name. The function
            is not saved; the positions that it gave are.

    Raises:
        ConfigError: for a value that cannot work, naming the field.
    """

    peft_type: ClassVar[str] = PeftType.SHIRA
    _beyond_peft: ClassVar[frozenset[str]] = AdapterConfig._beyond_peft | {
        "exclude_modules", "layers_to_transform", "rank_pattern", "seed_per_layer", "avoid", "mask_kwargs"
    }  # fmt: skip

    r: int = 32
    mask_type: str = "random"
    random_seed: int | None = None
    seed_per_layer: bool = False
    avoid: list[str] = field(default_factory=list)
    mask_kwargs: dict[str, Any] = field(default_factory=dict)
    init_weights: bool = True
    #: A function that has no name of its own, under this config's ``mask_type``.
    custom_mask_fn: MaskFn | None = field(default=None, repr=False, compare=False)

    @property
    def mask_fn(self) -> MaskFn | None:
        """The mask function: the custom one, or else the one that ``mask_type`` names; None where it names none."""
        return self.custom_mask_fn or find_mask(self.mask_type)

    @mask_fn.setter
    def mask_fn(self, mask_fn: MaskFn | None) -> None:
        if mask_fn is not None and not callable(mask_fn):
            raise ConfigError(f"`mask_fn` should be a function (base_layer, r, **kwargs); got {mask_fn!r}.")
        name = mask_fn and mask_name(mask_fn)
        if name or find_mask(self.mask_type):
            self.mask_type = name or "custom"
        self.custom_mask_fn = None if name else mask_fn

    def __setattr__(self, name: str, value: Any) -> None:
        """As usual; and another ``mask_type`` chooses another mask, so a custom function is forgotten."""
        if name == "mask_type":
            expect(value, str, "mask_type", "a name such as 'random'")
            super().__setattr__("custom_mask_fn", None)
        super().__setattr__(name, value)

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.custom_mask_fn
        if given is not None:
            if self.mask_type != "random" and find_mask(self.mask_type) and callable(given) and not mask_name(given):
                raise ConfigError(
                    f"`mask_type='{self.mask_type}'` is a mask of its own, and `mask_fn` is another. Give one of them, "
                    "or your function another name."
                )
            self.mask_fn = given
        if self.random_seed is not None:
            check_seed(self.random_seed)
        if not all_of(self.avoid, str):
            raise ConfigError(f"`avoid` should be a list of adapter names; got {self.avoid!r}.")
        expect(self.mask_kwargs, dict, "mask_kwargs", "a dict of further arguments of the mask function")
        twice = sorted({"base_layer", "r", "random_seed", "avoid", *STATISTICS} & set(self.mask_kwargs))
        if twice:
            raise ConfigError(
                f"`mask_kwargs` should not hold {', '.join(twice)}: the mask function is given these anyway."
            )
        if self.mask_fn is None and not self.inference_mode:
            warnings.warn(
                f"`mask_type='{self.mask_type}'` is not recognized; known are {', '.join(mask_types())}. Please supply "
                "your own masking function by calling `config.mask_fn = my_mask_fn`.",
                stacklevel=4,
            )

    def copy(self, **changes: Any) -> Self:
        """A config with some fields changed; another mask takes the place of the old one, name and function."""
        if "mask_type" in changes:
            changes = {"custom_mask_fn": None, **changes}
        elif "mask_fn" in changes and find_mask(self.mask_type):
            changes = {"mask_type": "random", **changes}
        return super().copy(**changes)
