"""Building masks: the seeded random mask against PEFT's, the magnitude mask against ``torch.topk``."""

import torch
from peft.tuners.shira.mask_functions import random_mask as peft_random_mask
from torch import nn

from shira_lab.budget import num_params
from shira_lab.course.speed.timing import Ratio, interleave
from shira_lab.masks import magnitude_mask, random_mask


def mask_ratios(m: int = 4096, n: int = 4096, r: int = 32, patience_s: float = 30.0) -> dict[str, dict[str, Ratio]]:
    """{"random": ..., "magnitude": ...}, each with ours over the reference."""
    layer = nn.Linear(n, m, bias=False).requires_grad_(False)
    nn.init.normal_(layer.weight)
    k = num_params(r, (m, n))
    random = {
        "peft": lambda: peft_random_mask(layer, r, random_seed=0),
        "ours": lambda: random_mask.positions(layer, r, random_seed=0),
    }
    magnitude = {
        "topk": lambda: torch.topk(layer.weight.abs().flatten(), k),
        "ours": lambda: magnitude_mask.positions(layer, r),
    }
    return {
        "random": interleave(random, "peft", min_rounds=9, patience_s=patience_s, warmup=1),
        "magnitude": interleave(magnitude, "topk", min_rounds=9, patience_s=patience_s, warmup=1),
    }
