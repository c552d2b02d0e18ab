"""What determines a fine-tuning run: one line for each setting, from which everything else follows.

The checks below, the options of ``shira-lab finetune``, the controls of the lab and the table in ``docs/settings.md``
are made of these lines. A new setting is a new line.
"""

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from shira_lab.errors import ConfigError
from shira_lab.masks import mask_types
from shira_lab.masks.calibration import Reduction
from shira_lab.training.ways import WAYS

Moves = Literal["never", "rigl", "spiel", "random", "learned"]
Drop = Literal["value", "value_gradient"]
METHOD_NAMES = {"shira": "SHiRA", "lora": "LoRA", "full": "full"}
MOVE_NAMES: dict[Moves, str] = {"rigl": "RigL", "spiel": "SpIEL", "random": "random growth", "learned": "learned"}
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 2e-2, 3e-2, 5e-2, 1e-1)


def methods() -> dict[str, str]:
    """How a model can be trained, and what people call it: what the paper compares, and the ways that there are now."""
    return METHOD_NAMES | {name: way.kind for name, way in WAYS.items()}


@dataclass(frozen=True)
class Setting:
    """What is known of a setting.

    Attributes:
        help: what it is, in a few words.
        name, default, type: of the field; the type without None.
        unit: what its number counts.
        low, high: its range; a number above ``high`` works too, but controls end there.
        choices: all values that there are.
        names: all values that there are now, where they can grow.
        menu: values that a menu offers, each after its label.
        slider: a number that is moved and not typed.
        several: its text may be a tuple of texts: words on the command line, joined by commas in the lab.
        nothing: says None where there is no None, on the command line and in the lab; ``open`` says what None means.
        option: its name on the command line, where that is not the field's.
        lab: where the lab has it: as a control, as one of those that save memory, or as a part of its state alone.
    """

    help: str
    name: str = ""
    default: Any = None
    type: type = str
    unit: str = ""
    low: float | None = None
    high: int = 0
    choices: tuple[str, ...] = ()
    names: Callable[[], tuple[str, ...]] = tuple
    menu: tuple[tuple[str, Any], ...] = ()
    slider: bool = False
    several: bool = False
    nothing: Any = None
    open: str = "none"
    option: str = ""
    lab: Literal["", "control", "memory", "state"] = ""

    @property
    def values(self) -> str:
        """The values that it may have, for people."""
        if self.choices or self.names():
            return ", ".join(self.choices or self.names())
        if self.type is bool:
            return "True or False"
        return "text" if self.low is None else f"{self.low:g} or more {self.unit}".rstrip()

    @property
    def default_shown(self) -> str:
        return self.open if self.default is None else str(self.default)

    def check(self, value: Any) -> None:
        """Refuse a value that no run can work with.

        Raises:
            ConfigError: for a count that is no positive integer, and for none of the choices.
        """
        if self.choices and value not in self.choices:
            raise ConfigError(f"`{self.name}` should be one of {', '.join(self.choices)}; got {value!r}.")
        if self.type is int and self.low and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigError(f"`{self.name}` should be a positive integer; got {value!r}.")


def about(help: str, **known: Any) -> dict[str, Setting]:
    """Metadata of a field: what is known of it in addition to its name, default and type."""
    return {"setting": Setting(help, **known)}


def settings_of(kind: type) -> dict[str, Setting]:
    """The settings of :class:`Settings` or of a dataclass made like it, by name."""
    found = {}
    for each in dataclasses.fields(kind):
        known: Setting = each.metadata["setting"]
        given, *_ = get_args(each.type) if isinstance(each.type, UnionType) else (each.type,)
        if get_origin(given) is Literal:
            known, given = dataclasses.replace(known, choices=get_args(given)), str
        found[each.name] = dataclasses.replace(known, name=each.name, default=each.default, type=given)
    return found


@dataclass(frozen=True)
class Settings:
    """Everything that determines a run; the same settings give the same numbers on the same machine.

    Raises:
        ConfigError: for a value that cannot work, naming the field.
    """

    # fmt: off
    model: str = field(default="embedded", metadata=about(
        "a model: embedded, smollm2-135m, a folder, a GGUF file, or a name on the hub", lab="control",
        menu=tuple((name, name) for name in ("embedded", "smollm2-135m", "facebook/opt-125m"))))
    method: str = field(default="shira", metadata=about(
        "how to train; full is all weights of the model, and the others are in shira_lab.training.ways",
        names=lambda: tuple(methods()), lab="control",
        menu=tuple((label, name) for name, label in (methods() | {"full": "full fine-tuning"}).items())))
    mask_type: str = field(default="magnitude", metadata=about(
        "SHiRA's mask: which entries train", option="--mask", names=mask_types, lab="control"))
    calibration_samples: int = field(default=32, metadata=about(
        "texts by which masks choose that look at data", unit="texts", low=1))
    reduction: Reduction = field(default="mean_abs", metadata=about(
        "of the texts' gradients: mean_abs is mean |g|, abs_mean is |mean g|"))
    mask_moves: Moves = field(default="never", metadata=about(
        "whether SHiRA's mask moves in training: entries are dropped, and others grown by the gradient of one batch "
        "(rigl) or of five (spiel) or at random; or the mask follows learned scores", option="--moves", lab="control",
        menu=(("never", "never"), *((name, moves) for moves, name in MOVE_NAMES.items()))))
    swap_every: int = field(default=10, metadata=about(
        "steps between two swaps, in the first three quarters of the steps", unit="steps", low=1, high=500,
        lab="control"))
    swap_share: float = field(default=0.3, metadata=about(
        "share of the entries that a swap moves at first; it falls to 0", low=0, lab="state"))
    drop: Drop = field(default="value", metadata=about(
        "what is small of an entry that is dropped: its value, or value times gradient", lab="state"))
    r: int = field(default=8, metadata=about(
        "size of the adapter: r(m + n) parameters for an (m, n) weight", low=1, high=64, slider=True, lab="control"))
    target_modules: str | tuple[str, ...] | None = field(default="all-linear", metadata=about(
        "layers to adapt: their names, or all-linear", option="--targets", several=True, lab="control",
        menu=(("all linear layers", "all-linear"), ("attention: q and v", "q_proj, v_proj"),
            ("feed-forward: fc1 and fc2", "fc1, fc2"))))
    world: str = field(default="sea", metadata=about(
        "whose stories to learn: sea, space or meadow; or real text: python, a text file, or a folder",
        lab="control", menu=tuple((name, name) for name in ("sea", "space", "meadow", "python"))))
    reference_world: str | None = field(default=None, metadata=about(
        "a world whose loss is followed too, to see what is forgotten", nothing=""))
    learning_rate: float | None = field(default=None, metadata=about(
        "peak learning rate; 0 takes what suits the method", option="--lr", low=0, nothing=0.0,
        open="what suits the method", lab="control",
        menu=(("suits the method", 0.0), *((f"{rate:g}", rate) for rate in RATES))))
    steps: int = field(default=150, metadata=about(
        "optimizer steps", unit="steps", low=1, high=500, slider=True, lab="control"))
    seed: int | None = field(default=0, metadata=about(
        "of mask, initial values and order of texts; -1 draws one", low=0, high=9999, nothing=-1, lab="control"))
    batch_size: int = field(default=8, metadata=about(
        "texts a step, over all processes", unit="texts", low=1, high=256, lab="memory"))
    max_length: int = field(default=128, metadata=about(
        "length of a piece of real text", unit="tokens", low=2, high=2048, lab="memory"))
    gradient_accumulation_steps: int = field(default=1, metadata=about(
        "parts in which a step's texts are read; more take less memory", unit="parts", low=1, high=256, lab="memory"))
    gradient_checkpointing: bool = field(default=False, metadata=about(
        "compute activations again: less memory, about a third more time", lab="memory"))
    eval_every: int = field(default=25, metadata=about(
        "steps between two measurements", unit="steps", low=1, lab="state"))
    eval_stories: int = field(default=32, metadata=about("held-out texts of a measurement", unit="texts", low=1))
    prompt: str = field(default="Once there was", metadata=about("beginning of the sample texts", lab="state"))
    sample_tokens: int = field(default=160, metadata=about(
        "length of the sample texts, at most", unit="tokens", low=1))
    # fmt: on

    def __post_init__(self) -> None:
        for name, known in settings_of(type(self)).items():
            known.check(getattr(self, name))
        if self.method not in methods():
            raise ConfigError(f"`method` should be one of {', '.join(methods())}; got {self.method!r}.")
        rate = self.learning_rate
        if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e3):
            raise ConfigError(f"`learning_rate` should be None or a positive number; got {rate!r}.")
        share = self.swap_share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise ConfigError(f"`swap_share` should be a number between 0 and 1; got {share!r}.")
        if self.max_length < 2:
            raise ConfigError(
                f"`max_length` should be at least 2, as the first token predicts the second; got {self.max_length}."
            )
        if self.batch_size % self.gradient_accumulation_steps:
            raise ConfigError(
                f"`gradient_accumulation_steps` is {self.gradient_accumulation_steps}, and so many parts cannot share "
                f"`batch_size` {self.batch_size} equally; choose a divisor of it."
            )
        if self.seed is not None and not 0 <= self.seed < 2**32:
            raise ConfigError(f"`seed` should be None or an integer in [0, 2**32); got {self.seed!r}.")

    @property
    def label(self) -> str:
        """A short name for legends: "SHiRA magnitude, r=8", "SHiRA random, RigL, r=8", "LoRA, r=8" or "full"."""
        moves = "" if self.mask_moves == "never" else f", {MOVE_NAMES[self.mask_moves]}"
        mask = f" {self.mask_type}{moves}" if self.method == "shira" else ""
        return methods()[self.method] + mask + ("" if self.method == "full" else f", r={self.r}")


Settings.__doc__ = f"{inspect.getdoc(Settings)}\n\nArgs:\n" + "\n".join(
    f"    {known.name}: {known.help}." for known in settings_of(Settings).values()
)


def table(kind: type) -> str:
    """The settings as a table in Markdown."""
    lines = ["| setting | option | default | values | meaning |", "|---|---|---|---|---|"]
    for known in settings_of(kind).values():
        meaning = known.help.replace("|", r"\|")
        lines.append(f"| `{known.name}` | `{option(known)}` | {known.default_shown} | {known.values} | {meaning} |")
    return "\n".join([*lines, ""])


def option(known: Setting) -> str:
    """What a setting is called on the command line: ``--eval-every``."""
    return known.option or "--" + known.name.replace("_", "-")
