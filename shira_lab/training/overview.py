"""A large matrix seen from afar: the largest |entry| of each square tile, so that no entry is too small to see."""

import torch
from torch import Tensor

MAX_TILES = 64  # a side; 4 kB for a picture


def overview(matrix: Tensor, max_tiles: int = MAX_TILES) -> Tensor:
    """The largest |entry| of each tile, shape (rows, columns); the smallest tiles with at most ``max_tiles`` a side.

    Tiles at the far edges may be cut; the maximum of the result is that of |matrix|.
    """
    m, n = matrix.shape
    side = -(-max(m, n) // max_tiles)
    padded = torch.nn.functional.pad(matrix.detach().abs().float(), (0, -n % side, 0, -m % side))
    return torch.nn.functional.max_pool2d(padded[None, None], side)[0, 0]
