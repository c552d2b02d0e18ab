"""The built-in masks: where the r(m + n) trained entries lie. Here those by chance and by scores.

Random, magnitude (the paper's WM), gradient, SNIP and struct are those of "Sparse High Rank Adapters" (arXiv
2406.13175, section 3.1). Each built-in mask has exactly r(m + n) ones for every legal r. A mask ``avoid`` of the
weight's shape says which entries are taken already, say by another adapter: they stay out, and the count is still
exact. All take ``**kwargs`` and ignore what they do not know, because PEFT hands its mask functions more than they
need. :mod:`shira_lab.minimal` has two of them in their plain form, :mod:`shira_lab.masks.structured` has those made of
lines and blocks.
"""

from typing import Any

from torch import Tensor, nn

from shira_lab.masks.function import budget_of, built_in
from shira_lab.masks.positions import from_mask, random_positions, shape_of
from shira_lab.masks.scores import gradient_score, magnitude_score, snip_score, top_positions


@built_in
def random_mask(
    base_layer: nn.Module, r: int, random_seed: int | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """Rand: r(m + n) positions, uniform without replacement; a seed gives PEFT's mask bit for bit.

    The mask of a smaller r lies inside that of a larger one.

    >>> random_mask(nn.Linear(4, 4), r=1, random_seed=0)
    tensor([[0., 0., 0., 0.],
            [0., 1., 1., 0.],
            [1., 1., 1., 1.],
            [1., 1., 0., 0.]])

    Args:
        base_layer, r: a linear layer, and its budget r(m + n).
        random_seed: None draws one from torch's global generator.
        avoid: a mask (m, n) of entries that stay out.
    """
    k = budget_of(base_layer, r, avoid)
    if avoid is None:
        return random_positions(shape_of(base_layer), k, random_seed)
    free = from_mask(avoid == 0)
    return free[random_positions((1, free.numel()), k, random_seed).to(free.device)]


@built_in
def magnitude_mask(base_layer: nn.Module, r: int, avoid: Tensor | None = None, **kwargs: Any) -> Tensor:
    """WM: the r(m + n) largest |W|; of equal ones, the first in row-major order.

    >>> layer = nn.Linear(4, 2)
    >>> layer.weight.data = Tensor([[9.0, -8, 1, 1], [7, -1, 6, 5]])
    >>> magnitude_mask(layer, r=1)
    tensor([[1., 1., 1., 0.],
            [1., 0., 1., 1.]])
    """
    return _largest(base_layer, r, magnitude_score(base_layer), avoid)


@built_in
def gradient_mask(
    base_layer: nn.Module, r: int, gradient: Tensor | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """Grad: the r(m + n) largest |G| of a calibrated gradient G; of equal ones, the first in row-major order.

    >>> gradient_mask(nn.Linear(4, 2), r=1, gradient=Tensor([[9.0, -8, 1, 1], [7, -1, 6, 5]]))
    tensor([[1., 1., 1., 0.],
            [1., 0., 1., 1.]])

    Args:
        base_layer, r, avoid: as for :func:`random_mask`.
        gradient: shape of the weight; :func:`shira_lab.calibrate` makes it from batches, as mean |g| or |mean g|. None
            takes ``base_layer.weight.grad`` of your own backward pass.
    """
    return _largest(base_layer, r, gradient_score(base_layer, gradient), avoid)


@built_in
def snip_mask(
    base_layer: nn.Module, r: int, gradient: Tensor | None = None, avoid: Tensor | None = None, **kwargs: Any
) -> Tensor:
    """SNIP: the r(m + n) largest |W * G|, the first-order change of the loss when an entry is set to zero.

    >>> layer = nn.Linear(4, 2)
    >>> layer.weight.data = Tensor(range(8)).view(2, 4)
    >>> snip_mask(layer, r=1, gradient=1 / (1 + layer.weight) ** 2)
    tensor([[0., 1., 1., 1.],
            [1., 1., 1., 0.]])

    Args:
        base_layer, r, gradient, avoid: as for :func:`gradient_mask`.
    """
    return _largest(base_layer, r, snip_score(base_layer, gradient), avoid)


def _largest(base_layer: nn.Module, r: int, score: Tensor, avoid: Tensor | None) -> Tensor:
    k = budget_of(base_layer, r, avoid)
    return top_positions(score if avoid is None else score.masked_fill(avoid != 0, -1), k)  # scores are not negative
