"""What a way is: parameters, and a function from the frozen weight W (m, n) to the update that they make of it.

    y = x (W + scale * U)^T + b,    U = way(W)

A way is an adapter like the others: :class:`~shira_lab.layers.AdapterLayer` activates it, merges it and takes it out
again bit for bit. A subclass makes its parameters in ``__init__`` and its update in ``forward``; autograd does the
rest.
"""

from collections.abc import Callable
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from shira_lab.budget import Shape, num_params
from shira_lab.errors import ConfigError
from shira_lab.layers import Adapter
from shira_lab.masks.positions import shape_of, weight_of

W = TypeVar("W", bound=type["Way"])

#: The ways by name; :func:`register_way` adds to them.
WAYS: dict[str, type["Way"]] = {}
TAKEN = ("shira", "lora", "full")


class Way(Adapter):
    """A way to change one linear layer.

    Attributes:
        kin: the adapter whose learning rates suit it where it has none of its own: trained factors, or trained entries.
        learning_rate: peak rate that suits the embedded model, found by a race over a grid.
        start: initial values, in words.
        law: number of parameters, in symbols.
        m, n: the weight's shape, (out_features, in_features).
        seed: of what is drawn and stays: positions, signs.
    """

    kin: ClassVar[Literal["lora", "shira"]] = "lora"
    learning_rate: ClassVar[float] = 3e-2
    start: ClassVar[str] = "the update starts at zero"
    law: ClassVar[str] = "r(m + n)"

    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
        super().__init__()
        self.r, self.shape, self.seed = r, shape_of(base_layer), seed
        self.m, self.n = self.shape
        self.budget = num_params(r, self.shape)
        self.base_weight: Callable[[], Tensor] = weight_of(base_layer).detach

    def forward(self, weight: Tensor) -> Tensor:
        """The update (m, n) of a weight (m, n), differentiable in the parameters; zero before training."""
        raise NotImplementedError

    @staticmethod
    def parameters_for(r: int, shape: Shape) -> int:
        """How many parameters it has on a weight of this shape: r(m + n)."""
        return num_params(r, shape)

    @property
    def rank_bound(self) -> int:
        """No update of it has a larger rank."""
        return min(self.m, self.n)

    def enter(self, base_weight: Callable[[], Tensor]) -> None:
        self.base_weight = base_weight

    def delta_weight(self) -> Tensor:
        return self.scaling * self(self._wide_weight())

    def add_to(self, output: Tensor, x: Tensor) -> Tensor:
        delta = self.delta_weight()
        return output + F.linear(x.to(delta.dtype), delta).to(output.dtype)

    def random_update(self, seed: int = 0) -> Tensor:
        """The update with independent normal values for all parameters; float32, on the CPU."""
        generator = torch.Generator().manual_seed(seed)
        values = {
            name: torch.randn(parameter.shape, generator=generator).to(parameter)
            for name, parameter in self.named_parameters()
        }
        with torch.no_grad():
            update: Tensor = functional_call(self, values, (self._wide_weight(),))
        return update.float().cpu()

    def _wide_weight(self) -> Tensor:
        """W in the dtype of the parameters."""
        return self.base_weight().to(next(self.parameters()).dtype)


def register_way(name: str) -> Callable[[W], W]:
    """Decorator: the class is the way of this name, also in the settings of a run. Its ``kind`` is what people call it.

    Raises:
        ConfigError: when the name is no identifier, or is that of a method or way of the package.
    """

    def register(way: W) -> W:
        ours = [name for name, there in WAYS.items() if there.__module__.startswith(__package__)]
        taken = [*TAKEN, *ours] if not way.__module__.startswith(__package__) else TAKEN
        if not isinstance(name, str) or not name.isidentifier() or name in taken:
            raise ConfigError(
                f"{name!r} cannot be the name of a way: use a word of letters, digits and underscores that is none of "
                f"{', '.join(taken)}."
            )
        way.kind = way.__dict__.get("kind", way.__name__)
        WAYS[name] = way
        return way

    return register


def factors(m: int, r: int, n: int) -> tuple[nn.Parameter, nn.Parameter]:
    """LoRA's factors as training begins: B (m, r) of zeros, and A (r, n) Kaiming-uniform, so that BA = 0."""
    bound = n**-0.5  # PEFT's Kaiming-uniform, a = sqrt(5)
    return nn.Parameter(torch.zeros(m, r)), nn.Parameter(torch.empty(r, n).uniform_(-bound, bound))
