"""What checks look at: a mask as a picture, and an update with random values on it."""

import torch
from torch import Tensor

from shira_lab.figures import mask_png
from shira_lab.masks.positions import from_mask


def mask_picture(mask: Tensor) -> bytes:
    """A dense mask as a PNG, dark where an entry trains."""
    m, n = mask.shape
    return mask_png(from_mask(mask), (m, n))


def random_delta(mask: Tensor, seed: int = 0) -> Tensor:
    """Normally distributed values where the mask is one; float64, so that the rank is the same on every machine."""
    values = torch.randn(mask.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values * (mask != 0)
