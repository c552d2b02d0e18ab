"""Weights whose columns differ in scale, as those of trained models do, and how much they differ.

A column is one input of the layer. Where some inputs matter more, their columns are larger, and the largest |W| crowd
into them: what a magnitude mask does with such a weight is the subject of :mod:`shira_lab.course.masks.repairs`.
"""

import torch
from torch import Tensor, nn

from shira_lab.budget import Shape


def heavy_tailed_layer(shape: Shape, column_scale: float, seed: int) -> nn.Linear:
    """A layer with W_ij = z_ij exp(column_scale * g_j), z and g standard normal: lognormal column scales.

    At ``column_scale`` 0 all columns are alike. The same seed has the same z and g at every scale.
    """
    m, n = shape
    generator = torch.Generator().manual_seed(seed)
    z, g = torch.randn(m, n, generator=generator), torch.randn(n, generator=generator)
    layer = nn.Linear(n, m, bias=False, device="meta")
    layer.weight = nn.Parameter(z * torch.exp(column_scale * g))
    return layer


def column_spread(weight: Tensor) -> float:
    """How much the columns of an (m, n) weight differ in scale: the standard deviation of ln ||W_:j||.

    It estimates the ``column_scale`` of :func:`heavy_tailed_layer`. Columns of equal scale still show about
    1 / sqrt(2m). Columns of zeros are left out.
    """
    norms = torch.linalg.vector_norm(weight.detach().double(), dim=0)
    return float(norms[norms > 0].log().std())
