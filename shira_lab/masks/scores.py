"""What positions are ranked by: |W|, |G| or |W * G| of each entry ("Sparse High Rank Adapters", section 3.1), or
|W_ij| ||x_j|| (Wanda).

A mask takes the k largest scores of its layer.
"""

import torch
from torch import Tensor, nn

from shira_lab.errors import MaskError, expect
from shira_lab.masks.positions import is_conv1d, weight_of


def magnitude_score(base_layer: nn.Module, gradient: Tensor | None = None) -> Tensor:
    """|W|, the score of WM.

    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, -2.0]])
    >>> magnitude_score(layer)
    tensor([[3., 2.]])
    """
    return finite(weight_of(base_layer).detach().abs(), "|W|")


def gradient_score(base_layer: nn.Module, gradient: Tensor | None = None) -> Tensor:
    """|G|, the score of Grad; without ``gradient``, that of ``base_layer.weight.grad``.

    >>> gradient_score(nn.Linear(2, 1), gradient=torch.tensor([[0.5, -4.0]]))
    tensor([[0.5000, 4.0000]])
    """
    return _calibrated(base_layer, gradient).abs()


def snip_score(base_layer: nn.Module, gradient: Tensor | None = None) -> Tensor:
    """|W * G|, the score of SNIP: the first-order change of the loss when an entry is set to zero.

    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, -2.0]])
    >>> snip_score(layer, gradient=torch.tensor([[0.5, -4.0]]))
    tensor([[1.5000, 8.0000]])
    """
    return finite((_wide(base_layer) * _calibrated(base_layer, gradient)).abs(), "|W * G|")


def wanda_score(base_layer: nn.Module, input_norm: Tensor | None = None) -> Tensor:
    """|W_ij| ||x_j||, Wanda's score: how much of an output the entry makes, given the norm (n,) of each input j.

    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, -2.0]])
    >>> wanda_score(layer, input_norm=torch.tensor([1.0, 4.0]))
    tensor([[3., 8.]])
    """
    weight = _wide(base_layer)
    n = weight.shape[0 if is_conv1d(base_layer) else 1]
    if not isinstance(input_norm, Tensor):
        raise MaskError(
            "A Wanda mask needs the norms of the layer's inputs: pass `calibration=` batches to `get_peft_model`, or "
            "give `input_norm=` to the mask function."
        )
    if input_norm.shape != (n,):
        raise MaskError(f"`input_norm` has shape {tuple(input_norm.shape)}; expected one norm for each input, ({n},).")
    norms = finite(input_norm.detach(), "`input_norm`").to(weight.device)
    return finite(weight.abs() * (norms[:, None] if is_conv1d(base_layer) else norms), "|W| ||x||")


def finite(score: Tensor, what: str) -> Tensor:
    """Return ``score``, if positions can be ranked by it.

    >>> finite(torch.tensor([torch.nan]), "|W|")
    Traceback (most recent call last):
        ...
    shira_lab.errors.MaskError: |W| holds NaN or infinite values; positions cannot be ranked by it.

    Raises:
        MaskError: for NaN or infinite values; ``what`` is the score's name in the message.
    """
    if not bool(torch.isfinite(score).all()):
        raise MaskError(f"{what} holds NaN or infinite values; positions cannot be ranked by it.")
    return score


def top_positions(score: Tensor, k: int) -> Tensor:
    """The sorted positions of the ``k`` largest entries of ``score``; of equal ones, the first in row-major order.

    ``torch.topk`` leaves open which of equal values it returns, so it only finds the k-th largest value here; what lies
    above that value is in, and ties fill the rest from the left. Sorting is spared twice: a sample of the scores
    gives a bound that the k-th largest value very probably exceeds, and only entries above the bound are ranked.

    >>> top_positions(torch.tensor([[3, 1], [2, 3]]), 2)
    tensor([0, 3])
    """
    flat = score.flatten()
    bound = _probable_lower_bound(flat, k)
    candidates = torch.nonzero(flat >= bound).flatten()
    if candidates.numel() < k:
        candidates = torch.arange(flat.numel(), device=flat.device)
    values = flat[candidates]
    threshold = torch.topk(values, k, sorted=False).values.min()
    above = candidates[values > threshold]
    ties = candidates[values == threshold][: k - above.numel()]
    return torch.cat([above, ties]).sort().values


def _wide(base_layer: nn.Module) -> Tensor:
    """W in float32 at least: products of half precision underflow."""
    weight = weight_of(base_layer).detach()
    return weight.to(torch.promote_types(weight.dtype, torch.float32))


def _probable_lower_bound(flat: Tensor, k: int, sample_size: int = 1 << 14) -> Tensor:
    """A value below the k-th largest of ``flat`` very probably: the matching quantile of a sample, with slack."""
    stride = max(1, flat.numel() // sample_size)
    sample = flat[::stride]
    expected = k / flat.numel() * sample.numel()
    rank = int(expected + 5 * expected**0.5 + 5)  # five standard deviations below the expected place
    return sample.topk(min(rank, sample.numel())).values[-1]


def _calibrated(base_layer: nn.Module, gradient: Tensor | None) -> Tensor:
    weight = weight_of(base_layer)
    gradient = weight.grad if gradient is None else gradient
    if gradient is None:
        raise MaskError(
            "A gradient or SNIP mask needs a gradient: pass `calibration=` batches to `get_peft_model`, "
            "give `gradient=` to the mask function, or run a backward pass with `base_layer.weight.requires_grad_()` "
            "first."
        )
    expect(gradient, Tensor, "gradient", "a tensor of the weight's shape", MaskError)
    if gradient.shape != weight.shape:
        raise MaskError(f"`gradient` has shape {tuple(gradient.shape)}; expected the weight's, {tuple(weight.shape)}.")
    return finite(gradient.detach(), "`gradient`")
