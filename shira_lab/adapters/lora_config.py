"""The configuration of a LoRA adapter, with PEFT's fields."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from shira_lab.adapters.config import AdapterConfig, takes_pefts_fields
from shira_lab.adapters.patterns import check_patterns, first_match
from shira_lab.adapters.tasks import PeftType
from shira_lab.errors import ConfigError, is_finite

#: Values of ``init_lora_weights`` that a file may have and a new adapter may not. They say how training began, and it
#: has ended; unlike "pissa" and others they changed no base weight.
STARTS_OF_FILES = ("eva", "orthogonal")


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
