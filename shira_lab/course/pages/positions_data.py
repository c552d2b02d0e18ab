"""Ways to choose positions on a page: two layers' entries by every score, and what becomes of them in all layers.

A mask of any r takes the first entries of an order: of its layer's, as far as its own budget or the layer's part of a
global one goes. The order is kept as far as a page asks: in groups between one of these counts and the next, each the
steps from one of its sorted positions to the next, in Rice's code.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.targets import find_targets
from shira_lab.course.figures.methods import looks
from shira_lab.course.masks.choices import SCORES, Choice, Choices, Scope
from shira_lab.course.masks.running import REDUCTION_NAMES, running_calibration
from shira_lab.course.widgets.choice_pictures import short_names
from shira_lab.course.widgets.positions_explorer import doublings
from shira_lab.masks.scores import top_positions
from shira_lab.models.hub import load_model
from shira_lab.training.settings import Settings
from shira_lab.training.stories import Stories

SAMPLES = 128  # stories, as in the lesson
MAX_R = 16  # with which a tenth of the lesson's layer trains, as much as is advised
LAYERS = ("model.decoder.layers.2.fc1", "model.decoder.layers.0.self_attn.q_proj")
#: Stands for all layers together, where others have a path.
ALL = ""

Levels = NDArray[np.uint8]


def positions_data() -> dict[str, Any]:
    """What the page's explorer needs, of the embedded model.

    By the name of a way to choose: ``counts`` that a global choice of each r gives to each layer, and for each layer of
    the page the ``orders``. ``both`` has for two ways how many positions of each r they share, in a layer or in all.
    """
    choices = calibrated()
    ways = list(ways_of(choices))
    scores = {way: [choices.score(way, path).flatten() for path in choices.layers] for way in ways}
    whole = {way: levels(torch.cat(score), choices.budget(Choice(r=1), *choices.layers))
             for way, score in scores.items()}  # fmt: skip
    ends = np.cumsum([score.numel() for score in scores[ways[0]]])[:-1]
    counts = {way: [up_to_each_r(part) for part in np.split(whole[way], ends)] for way in ways}
    both, orders = {ALL: _shared(whole)}, {}
    for path in LAYERS:
        place, own = list(choices.layers).index(path), choices.budget(Choice(r=1), path)
        both[path] = _shared({way: levels(scores[way][place], own) for way in ways})
        budgets = [own * r for r in range(1, MAX_R + 1)]
        orders[path] = {key(way): order_in_groups(scores[way][place], [*budgets, *counts[way][place]]) for way in ways}
    return {
        "shapes": choices.shapes,
        "names": short_names(list(choices.layers)),
        "orders": orders,
        "counts": {key(way): np.array(count).T.tolist() for way, count in counts.items()},
        "both": both,
        "samples": choices.samples,
        "maxR": MAX_R,
        "scores": list(SCORES),
        "scopes": get_args(Scope),
        "reductions": REDUCTION_NAMES,
        "colours": {name: look.colour for name, look in looks(REDUCTION_NAMES.values()).items()},
        "note": f"These are two layers of the model, with r up to {MAX_R}, calibrated on {SAMPLES} stories.",
    }


def calibrated() -> Choices:
    """The choices among all layers of the embedded model, from the stories of the lesson."""
    model, tokenizer = load_model()
    layers = find_targets(model, ShiraConfig(target_modules="all-linear"))
    samples = Stories(Settings(world="sea"), tokenizer).samples(SAMPLES)
    return Choices(layers, running_calibration(model, list(layers), samples, doublings(SAMPLES)))


def ways_of(choices: Choices) -> Iterator[Choice]:
    """All that differ in the order of entries; the magnitude does not look at samples."""
    yield Choice("magnitude", samples=choices.samples[0])
    for score, samples, reduction in product(SCORES, choices.samples, REDUCTION_NAMES):
        if score != "magnitude":
            yield Choice(score, samples=samples, reduction=reduction)


def key(way: Choice) -> str:
    """Its name in the data."""
    return way.score if way.score == "magnitude" else f"{way.score} {way.samples} {way.reduction}"


def levels(score: Tensor, k: int) -> Levels:
    """For each entry of a flat score, in how many of the masks of k, 2k, ... MAX_R * k entries it is missing."""
    order = _order(score, MAX_R * k)
    found = np.full(score.numel(), MAX_R, dtype=np.uint8)
    found[order] = np.arange(len(order)) // k
    return found


def up_to_each_r(found: Levels) -> list[int]:
    """How many entries the masks of r = 1, 2, ... MAX_R have."""
    return np.bincount(found, minlength=MAX_R + 1).cumsum()[:MAX_R].tolist()


def order_in_groups(score: Tensor, counts: Sequence[int]) -> dict[str, Any]:
    """The first entries by a flat score, as ``text``, in groups that end at each of the ``counts``, the ``ends``.

    Rice's code writes what is left of a step without its last ``bits`` as so many ones and a zero, and then the bits.
    """
    ends = sorted({0, *counts})
    order = _order(score, ends[-1])
    steps = np.concatenate([np.diff(np.sort(order[a:b]), prepend=-1) - 1 for a, b in pairwise(ends)])
    bits = max(1, int(np.log2(max(1.0, steps.mean()))))
    code = "".join(f"{'1' * (step >> bits)}0{step & ((1 << bits) - 1):0{bits}b}" for step in steps.tolist())
    packed = np.packbits(np.frombuffer(code.encode(), dtype=np.uint8) - ord("0"))
    return {"ends": ends[1:], "bits": bits, "text": b64encode(packed.tobytes()).decode()}


def _order(score: Tensor, k: int) -> NDArray[np.int64]:
    """Positions of the k largest, the largest first; of equal ones, the first in row-major order."""
    chosen = top_positions(score, k)
    return chosen[score[chosen].argsort(descending=True, stable=True)].numpy()


def _shared(found: dict[Choice, Levels]) -> dict[str, list[int]]:
    """For each two ways that are compared, by both of their names, how many positions they share with each r."""
    magnitude, *others = found
    last = max(way.samples for way in others)
    shared = {}
    for way in others:
        for other in (magnitude, replace(way, samples=last), *(replace(way, reduction=one) for one in REDUCTION_NAMES)):
            if other != way:
                shared[" / ".join(sorted((key(way), key(other))))] = up_to_each_r(np.maximum(found[way], found[other]))
    return shared
