"""One LoRA adapter on one layer: two factors of rank r (arXiv 2106.09685), beside SHiRA in the same frame.

W' = W + scaling * B A,    A (r, in_features), B (m, r)
"""

import math

import torch
from torch import Tensor, nn

from shira_lab.budget import Shape
from shira_lab.layers.shira import Adapter


class LoraAdapter(Adapter):
    """The factors of one LoRA adapter.

    Attributes:
        lora_A: linear map in_features -> r.
        lora_B: linear map r -> out_features.
        initial_scaling: lora_alpha / r, or lora_alpha / sqrt(r) for rsLoRA.
        fan_in_fan_out: the base weight is stored as (in, out), so the delta is transposed to fit it.
    """

    kind, part = "LoRA", ""

    def __init__(
        self,
        r: int,
        shape: Shape,
        initial_scaling: float,
        dropout: float = 0.0,
        init: bool | str = True,
        fan_in_fan_out: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.r = r
        self.shape = shape
        self.initial_scaling = initial_scaling
        self.fan_in_fan_out = fan_in_fan_out
        out_features, in_features = shape[::-1] if fan_in_fan_out else shape
        self.lora_dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        # Built on the CPU, so that a seed gives the same factors on every device.
        self.lora_A = nn.Linear(in_features, r, bias=False)
        self.lora_B = nn.Linear(r, out_features, bias=False)
        self._reset(init)
        self.to(device=device, dtype=dtype)

    def _reset(self, init: bool | str) -> None:
        if init == "gaussian":
            nn.init.normal_(self.lora_A.weight, std=1 / self.r)
        else:
            nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        if init:
            nn.init.zeros_(self.lora_B.weight)

    @property
    def scaling(self) -> float:
        """The factor of B A: scale * initial_scaling, as in PEFT."""
        return self.scale * self.initial_scaling

    def delta_weight(self) -> Tensor:
        """scaling * B A, dense, in the shape of the base weight as it is stored."""
        product = self.lora_B.weight @ self.lora_A.weight * self.scaling
        return product.t() if self.fan_in_fan_out else product

    def add_to(self, output: Tensor, x: Tensor) -> Tensor:
        """output + scaling * B A dropout(x), shapes (..., out_features) and (..., in_features)."""
        update: Tensor = self.lora_B(self.lora_A(self.lora_dropout(x.to(self.lora_A.weight.dtype))))
        return output + (update * self.scaling).to(output.dtype)
