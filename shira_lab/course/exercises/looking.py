"""What checks look at: a mask as a picture, and the rank of an update with random values on it."""

from torch import Tensor

from shira_lab.analysis.rank import RankReport
from shira_lab.course.figures import mask_png
from shira_lab.masks.positions import from_mask


def mask_picture(mask: Tensor, side: int = 240) -> bytes:
    """A dense mask as a PNG, dark where an entry trains; a small one is enlarged to nearly ``side`` pixels."""
    m, n = mask.shape
    return mask_png(from_mask(mask), (m, n), side=side)


def random_rank(mask: Tensor, seed: int = 0) -> int:
    """The rank of an update with normally distributed values where the mask is one."""
    m, n = mask.shape
    return RankReport(from_mask(mask), (m, n), seed).spectrum.rank
