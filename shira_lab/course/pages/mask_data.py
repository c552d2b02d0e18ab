"""The masks of a page: those that look at weights or data as levels of entries, for a few layers of the model.

A level is the smallest r whose mask holds the entry: one byte says where the entry stands in masks of every r, as long
as a smaller mask lies inside a larger one. Masks by chance and of fixed lines are drawn in the browser.
"""

from base64 import b64encode
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shira_lab.adapters.config import ShiraConfig
from shira_lab.budget import max_r
from shira_lab.course.widgets.model_masks import ModelMasks
from shira_lab.masks import mask_types
from shira_lab.masks.positions import layer_seed
from shira_lab.models.hub import load_model
from shira_lab.training.settings import Settings
from shira_lab.training.stories import Stories

MAX_SEED = 99
SAMPLES = 32  # stories of the calibration, as in the lesson on masks
#: Layers by their last name, all of the second block, with the mask types that look at weights or data.
LEVELS = {
    "q_proj": ("magnitude", "gradient", "snip", "smallest", "wanda", "gradient_block"),
    "k_proj": ("magnitude",),
    "fc1": ("magnitude", "gradient", "snip", "smallest", "wanda", "gradient_block"),
    "fc2": (),
}
#: LIFT's approximation changes with r, so that its masks do not lie inside each other: each r has its own bits.
LIFT_STOPS = (1, 2, 4, 8, 16, 32, 64)
LIFT_LAYERS = ("q_proj", "fc1")


def mask_data() -> dict[str, Any]:
    """What the page's masks need, of the embedded model: ``layers`` by path, mask ``types`` in the order of a menu."""
    model, tokenizer = load_model()
    masks = ModelMasks(model, list(Stories(Settings(world="sea"), tokenizer).samples(SAMPLES)))
    paths = {name: next(path for path in masks.layers if f".1.{name}" in path or f".1.self_attn.{name}" in path)
             for name in LEVELS}  # fmt: skip
    layers = {
        path: {
            "shape": masks.shape(path),
            "levels": {mask_type: _text(levels(masks, path, mask_type)) for mask_type in LEVELS[name]},
            "bits": {"lift": _lift(masks, path)} if name in LIFT_LAYERS else {},
            "seeds": [layer_seed(seed, path) for seed in range(MAX_SEED + 1)],
        }
        for name, path in paths.items()
    }
    return {"layers": layers, "types": mask_types(), "maxSeed": MAX_SEED}


def levels(masks: ModelMasks, path: str, mask_type: str) -> Tensor:
    """For each entry of the layer's weight (m, n), flat, the smallest r whose mask holds it; max_r + 1 for none.

    Read from the masks of every r, so that a mask type whose masks are not nested would be seen.
    """
    shape = masks.shape(path)
    found = torch.full((shape[0] * shape[1],), max_r(shape) + 1, dtype=torch.uint8)
    for r in range(max_r(shape), 0, -1):
        positions = masks.positions(path, ShiraConfig(r=r, mask_type=mask_type))
        assert bool((found[positions] <= r + 1).all()), f"{mask_type} masks do not lie inside each other at r = {r}"
        found[positions] = r
    return found


def _lift(masks: ModelMasks, path: str) -> dict[int, str]:
    m, n = masks.shape(path)
    bits = {}
    for r in LIFT_STOPS:
        flags = torch.zeros(m * n, dtype=torch.uint8)
        flags[masks.positions(path, ShiraConfig(r=r, mask_type="lift"))] = 1
        bits[r] = b64encode(np.packbits(flags.numpy()).tobytes()).decode()
    return bits


def _text(flat: Tensor) -> str:
    return b64encode(flat.numpy().tobytes()).decode()
