"""Which modules are linear layers in the sense of this package."""

from torch import nn


def is_conv1d(module: nn.Module) -> bool:
    """Whether this is transformers' ``Conv1D``, a linear layer whose weight is stored as (in, out)."""
    return type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils"


def is_linear(module: nn.Module) -> bool:
    """Whether an adapter can sit on this layer: ``nn.Linear`` (or a subclass) or ``Conv1D``."""
    return isinstance(module, nn.Linear) or is_conv1d(module)
