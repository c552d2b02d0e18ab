"""What checks look at: a mask as a picture, and an update with random values on it."""

import torch
from torch import Tensor

from shira_lab.figures import mask_pixels
from shira_lab.figures.mask import INK, PAPER
from shira_lab.figures.png import two_colour_png
from shira_lab.masks.positions import from_mask


def mask_picture(mask: Tensor, side: int = 240) -> bytes:
    """A dense mask as a PNG, dark where an entry trains; a small one is enlarged to nearly ``side`` pixels."""
    m, n = mask.shape
    pixels, scale = mask_pixels(from_mask(mask), (m, n)), max(1, side // max(m, n))
    return two_colour_png(pixels.repeat(scale, 0).repeat(scale, 1), INK, PAPER)


def random_delta(mask: Tensor, seed: int = 0) -> Tensor:
    """Normally distributed values where the mask is one; float64, so that the rank is the same on every machine."""
    values = torch.randn(mask.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values * (mask != 0)
