"""What optimizers remember of each value, such as Adam's moments, so that it can move where the values move.

A parameter does not know its optimizers. PyTorch tells after each step which optimizer made it.
"""

from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from shira_lab.errors import AdapterError

_optimizers: WeakSet[Optimizer] = WeakSet()


def _has_made_a_step(optimizer: Optimizer, *_: Any) -> None:
    _optimizers.add(optimizer)


register_optimizer_step_post_hook(_has_made_a_step)


def moments(values: nn.Parameter) -> Iterator[Tensor]:
    """The tensors (k,) that any optimizer keeps for ``values`` (k,), after its first step.

    Raises:
        AdapterError: when an optimizer keeps something of another size, which does not say what belongs to which value.
    """
    for optimizer in list(_optimizers):
        for name, kept in optimizer.state.get(values, {}).items():
            if not isinstance(kept, Tensor) or kept.dim() == 0:  # the number of steps
                continue
            if kept.shape != values.shape or not kept.is_floating_point():
                raise AdapterError(
                    f"The optimizer {type(optimizer).__name__} keeps '{name}' of shape {tuple(kept.shape)} for "
                    f"{values.numel():,} values, which cannot move with them. Set the mask before its first step, or "
                    "make a new optimizer and let this one go."
                )
            yield kept
