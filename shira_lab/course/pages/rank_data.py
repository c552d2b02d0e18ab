"""What the ranks of a page need: sizes of the drawn weights, from which masks by magnitude follow for every r.

The weight W_ij = z_ij exp(column_scale g_j) has the same z for every scale and, as its numbers are drawn in row-major
order, for every shape with as many entries; of a smaller one, z is the beginning.
"""

from base64 import b64encode
from math import prod
from typing import Any

import torch
from torch import Tensor

from shira_lab.budget import Shape
from shira_lab.course.figures.methods import LOOKS
from shira_lab.course.masks.heavy_tails import heavy_tailed_layer
from shira_lab.course.widgets.rank_explorer import MAX_COLUMN_SCALE, Y_TITLE
from shira_lab.masks import mask_types

#: Shapes, and how many seeds each has: a larger weight takes much of a page.
SHAPES: dict[Shape, int] = {(192, 192): 3, (768, 192): 1, (192, 768): 1}
SCALE_STEP = 0.25


def rank_data() -> dict[str, Any]:
    """``magnitudes`` |z| by seed, and ``columns``, the factors of the columns by shape, seed and step of the scale."""
    steps = round(MAX_COLUMN_SCALE / SCALE_STEP) + 1
    return {
        "magnitudes": [_text(_magnitudes(seed)) for seed in range(max(SHAPES.values()))],
        "columns": {
            f"{m}x{n}": [[_text(_factors((m, n), SCALE_STEP * step, seed)) for step in range(steps)]
                         for seed in range(seeds)]
            for (m, n), seeds in SHAPES.items()
        },
        "types": mask_types(),
        "maxScale": MAX_COLUMN_SCALE,
        "scaleStep": SCALE_STEP,
        "yTitle": Y_TITLE,
        "colours": {name: look.colour for name, look in LOOKS.items()},
    }  # fmt: skip


def _magnitudes(seed: int) -> Tensor:
    """|z| of the largest weight that has this seed."""
    shape = max((shape for shape, seeds in SHAPES.items() if seed < seeds), key=prod)
    return heavy_tailed_layer(shape, 0.0, seed).weight.detach().abs()


def _factors(shape: Shape, scale: float, seed: int) -> Tensor:
    """exp(scale g) (n,), drawn as :func:`heavy_tailed_layer` draws g, behind z."""
    generator = torch.Generator().manual_seed(seed)
    torch.randn(*shape, generator=generator)
    return torch.exp(scale * torch.randn(shape[1], generator=generator))


def _text(numbers: Tensor) -> str:
    """Single-precision numbers as base64."""
    return b64encode(numbers.float().numpy().tobytes()).decode()
