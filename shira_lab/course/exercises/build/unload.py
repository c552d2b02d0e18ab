"""Step 5 of "Build it": the plain layers come back, to the last bit, or with W + S in them."""

import copy

import torch
from torch import nn

from shira_lab.course.exercises.build.judging import Pictures, close, judged, names_of
from shira_lab.course.exercises.build.layer import ShiraLinear, add_sparse
from shira_lab.course.exercises.build.training import TARGETS, Small, adapted, batches, layer_at
from shira_lab.course.exercises.exercise import Exercise, Solution
from shira_lab.course.exercises.trials import Wrong


@torch.no_grad()
def unload(model, merge=False):
    """Put an nn.Linear back in the place of each ShiraLinear: with W to the last bit, or with W + S where merged."""
    for path, layer in list(model.named_modules()):
        if isinstance(layer, ShiraLinear):
            base = layer.base_layer  # stub: -
            if merge:  # stub: -
                base = copy.deepcopy(base)  # stub: -
                base.weight.copy_(add_sparse(base.weight, layer.positions, layer.shira_weight))  # stub: -
            model.set_submodule(path, base)  # stub: model.get_submodule(path)


def _examine(answer: Solution) -> Pictures:
    layer_type = names_of(answer)["ShiraLinear"]
    plain, batch = Small(), batches(1)[0]
    for merge in (False, True):
        tuned = adapted(layer_type)
        layers = {path: layer_at(tuned, path) for path in TARGETS}
        before = {path: copy.deepcopy(layer) for path, layer in layers.items()}
        expected = (tuned if merge else plain)(**batch).output.detach()
        answer(tuned, merge=merge)
        call = f"(Tried: `unload(model, merge={merge})`.)"
        _are_plain(tuned, call)
        for path in TARGETS:
            now = layer_at(tuned, path)
            weight, positions, v = before[path].base_layer.weight, before[path].positions, before[path].shira_weight
            merged = add_sparse(weight, positions, v).detach()
            _holds(now.weight.detach(), weight.detach(), merged, merge, call)
            if not torch.equal(layers[path].base_layer.weight, weight):
                raise Wrong(
                    "Merging wrote into W itself: whoever still holds the adapter's layer would now add S a second "
                    f"time. Put W + S into a copy, `copy.deepcopy(layer.base_layer)`. {call}"
                )
            if now.bias is None or not torch.equal(now.bias, before[path].base_layer.bias):
                raise Wrong(f"The bias of {path} was lost on the way. {call}")
        if not close(tuned(**batch).output, expected):
            raise Wrong(f"The model's output is not that of {'the adapted' if merge else 'the base'} model. {call}")
    return {}


def _are_plain(model: nn.Module, call: str) -> None:
    for path in TARGETS:
        layer = model.get_submodule(path)
        if hasattr(layer, "shira_weight"):
            raise Wrong(
                f"{path} is still a ShiraLinear: put an nn.Linear there, `model.set_submodule(path, ...)`. {call}"
            )
        if not isinstance(layer, nn.Linear):
            raise Wrong(f"{path} is of type {type(layer).__name__}; an nn.Linear was there at first. {call}")


def _holds(now: torch.Tensor, weight: torch.Tensor, merged: torch.Tensor, merge: bool, call: str) -> None:
    """Say what the weight is where it is not what it should be: W, or W + S."""
    if now.dtype != weight.dtype:
        raise Wrong(f"The weight came back as {now.dtype}; it was {weight.dtype}. {call}")
    if torch.equal(now, merged if merge else weight):
        return
    if merge and torch.equal(now, weight):
        raise Wrong(f"The merged layer holds W: S is not in it. {call}")
    if not merge and close(now, weight):
        lost = int((now != weight).sum())
        raise Wrong(
            f"{lost} entries came back with another last bit: W + S - S is rounded twice. W was never written, so there"
            f" is nothing to subtract: put `layer.base_layer` back. {call}"
        )
    if close(now, 2 * merged - weight):
        raise Wrong(f"The weight holds W + 2S: S was merged twice. {call}")
    if close(now, 2 * weight - merged):
        raise Wrong(f"The weight holds W - S: W was never written, so there is nothing to subtract. {call}")
    if not merge and close(now, merged):
        raise Wrong(f"The weight holds W + S, and W was asked for. {call}")
    raise Wrong(f"The weight is neither W nor W + S. {call}")


UNLOAD = Exercise(
    solution=unload,
    check=judged(_examine, "W to the last bit, or W + S in a layer of its own; and the adapter's W is as it was."),
    difficulty="medium",
    minutes=10,
    stub_says=(
        "blocks.0.q is still a ShiraLinear: put an nn.Linear there, `model.set_submodule(path, ...)`. (Tried: "
        "`unload(model, merge=False)`.)"
    ),
)
