"""Step 4 of "Build it": the layers go onto a model, and a loop trains them."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.budget import num_params
from shira_lab.course.exercises.build.judging import Pictures, close, judged, names_of, randn
from shira_lab.course.exercises.build.layer import ShiraLinear
from shira_lab.course.exercises.build.positions import mask_positions
from shira_lab.course.exercises.exercise import Exercise, Solution
from shira_lab.course.exercises.trials import Wrong


def inject(model, names, r, seed):
    """Freeze the model, and put a ShiraLinear in the place of each nn.Linear that bears one of the names."""
    model.requires_grad_(False)  # stub: -
    for path, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and path.split(".")[-1] in names:  # stub: if path in names:
            positions = mask_positions(layer.weight, r, seed)  # stub: -
            model.set_submodule(path, ShiraLinear(layer, positions))  # stub: print(layer)


def train(model, batches, learning_rate):
    """One step of AdamW for each batch, on what is not frozen; returns the loss of each step as a number."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]  # stub: -
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)  # stub: -
    losses = []
    for batch in batches:
        loss = model(**batch).loss  # stub: -
        optimizer.zero_grad()  # stub: -
        loss.backward()  # stub: -
        optimizer.step()  # stub: -
        losses.append(loss.item())  # stub: losses.append(model(**batch).loss)
    return losses


NAMES, R, SEED = ("q", "up"), 2, 5
STEPS, RATE = 5, 0.05


class _Block(nn.Module):
    """Layers with a name to adapt, and with names that hold or end in such a name."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.up, self.qk, self.seq = (nn.Linear(n, m) for m, n in ((8, 8), (16, 8), (8, 16), (8, 8)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.seq(self.qk(self.up(self.q(x)).relu()))


class Small(nn.Module):
    """Two blocks with an embedding and a norm, the same at each call; ``model(tokens=, wanted=).loss``."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.blocks, self.norm = nn.Embedding(20, 8), nn.Sequential(_Block(), _Block()), nn.LayerNorm(8)
        with torch.no_grad():
            for seed, parameter in enumerate(self.parameters()):
                parameter.copy_(randn(*parameter.shape, seed=seed) / 4)

    def forward(self, tokens: Tensor, wanted: Tensor) -> SimpleNamespace:
        y = self.norm(self.blocks(self.embed(tokens)))
        return SimpleNamespace(output=y, loss=(y - wanted).square().mean())


TARGETS = ("blocks.0.q", "blocks.0.up", "blocks.1.q", "blocks.1.up")


def batches(count: int = STEPS) -> list[dict[str, Tensor]]:
    """As many batches for :class:`Small`, all different."""
    dice = torch.Generator().manual_seed(0)
    return [
        {"tokens": torch.randint(20, (4, 6), generator=dice), "wanted": randn(4, 6, 8, seed=seed)}
        for seed in range(count)
    ]


def layer_at(model: nn.Module, path: str) -> Any:
    """The layer at the path, whatever a learner has put there."""
    return model.get_submodule(path)


def adapted(layer_type: Any) -> Small:
    """:class:`Small` with a layer of this type at each of the targets, trained by some steps."""
    model = Small().requires_grad_(False)
    for path in TARGETS:
        base = layer_at(model, path)
        model.set_submodule(path, layer_type(base, mask_positions(base.weight, R, SEED)))
    train(model, batches(), RATE)
    model.zero_grad()
    return model


def _examine_injection(answer: Solution) -> Pictures:
    model, before = Small(), Small()
    answer(model, list(NAMES), R, SEED)
    layer_type = names_of(answer)["ShiraLinear"]
    replaced = [path for path, _ in before.named_modules() if isinstance(layer_at(model, path), layer_type)]
    missing = [path for path in TARGETS if path not in replaced]
    if not replaced:
        raise Wrong(
            "No layer of the model was replaced. Put a ShiraLinear at each path, in the model that was given: "
            f"`model.set_submodule(path, ...)`. The names are {', '.join(NAMES)}; the first path is {TARGETS[0]}."
        )
    if missing:
        raise Wrong(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} still nn.Linear; the names are"
            f" {', '.join(NAMES)}."
        )
    others = [path for path in replaced if path not in TARGETS]
    if others:
        raise Wrong(
            f"{others[0]} was replaced, too. The names are {', '.join(NAMES)}: compare each with the whole last part of"
            " the path, as other names may hold it or end in it."
        )
    _trains_the_entries_alone(model)
    for path in TARGETS:
        weight = layer_at(before, path).weight
        if not torch.equal(layer_at(model, path).positions, mask_positions(weight, R, SEED)):
            raise Wrong(
                f"The positions in {path} are not those of its own weight, r and seed: call `mask_positions` for each"
                " layer."
            )
    batch = batches(1)[0]
    if not close(model(**batch).output, before(**batch).output):
        raise Wrong("The adapted model does not begin as the base model: is each layer built on the layer it replaces?")
    return {}


def _trains_the_entries_alone(model: nn.Module) -> None:
    trained = {name: parameter.numel() for name, parameter in model.named_parameters() if parameter.requires_grad}
    k = sum(num_params(R, layer.weight.shape) for path, layer in Small().named_modules() if path in TARGETS)
    if not trained:
        raise Wrong("Nothing trains: the model was frozen after the layers had come in. Freeze it first.")
    also = [name for name in trained if not name.endswith("shira_weight")]
    if also:
        raise Wrong(
            f"{sum(trained.values()):,} parameters train where the sum of r(m + n) is {k:,}: {also[0]} is not frozen. "
            "`model.requires_grad_(False)` freezes all there is."
        )


Loop = Callable[[nn.Module, Iterable[Mapping[str, Tensor]], float], Any]


def _examine_loop(answer: Loop) -> Pictures:
    model, data = adapted(ShiraLinear), batches()
    start, expected_losses, expected = deepcopy(model), *_after(train, model)
    losses = answer(model, data, RATE)
    if not isinstance(losses, list) or len(losses) != len(data):
        got = f"{len(losses)} losses" if isinstance(losses, list) else type(losses).__name__
        raise Wrong(f"Return a list with the loss of each step: {len(data)} batches were given, and you return {got}.")
    if any(isinstance(loss, Tensor) for loss in losses):
        graph = " and keeps the whole graph of its step in memory" if losses[0].requires_grad else ""
        raise Wrong(f"A loss in your list is a tensor{graph}: keep the number alone, `loss.item()`.")
    found = _values(model)
    if torch.equal(found, _values(start)):
        raise Wrong("Nothing has moved: a step is `loss.backward()`, and then `optimizer.step()`.")
    if not close(found, expected):
        raise Wrong(_which_loop(found, start))
    if not close(torch.tensor(losses), torch.tensor(expected_losses)):
        raise Wrong(
            "The losses are not those of the batches before their steps: keep the loss that you call `backward` on."
        )
    return {}


def _values(model: nn.Module) -> Tensor:
    return torch.cat(
        [parameter.detach() for name, parameter in model.named_parameters() if name.endswith("shira_weight")]
    )


def _after(loop: Loop, model: nn.Module) -> tuple[Any, Tensor]:
    """The losses of a loop on a copy of the model, and what the trained entries are after it."""
    copy = deepcopy(model)
    return loop(copy, batches(), RATE), _values(copy)


def _which_loop(found: Tensor, start: nn.Module) -> str:
    for loop, why in WRONG_LOOPS.items():
        if close(found, _after(loop, start)[1]):
            return why
    return (
        "The trained entries are not where AdamW with this learning rate brings them: one step for each batch, of "
        "`torch.optim.AdamW(trained, lr=learning_rate)` with all else left out."
    )


def _loop(
    *,
    optimizer_type: Any = torch.optim.AdamW,
    forgets: bool = True,
    anew: bool = False,
    repeats: bool = False,
) -> Loop:
    """A loop with one thing wrong: its optimizer, gradients that add up, an optimizer for each step, one batch only."""

    def loop(model: nn.Module, batches: Iterable[Mapping[str, Tensor]], learning_rate: float) -> Any:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer, losses = optimizer_type(trained, lr=learning_rate), []
        batches = list(batches)
        for batch in batches[:1] * len(batches) if repeats else batches:
            optimizer = optimizer_type(trained, lr=learning_rate) if anew else optimizer
            if forgets:
                optimizer.zero_grad()
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.zero_grad()
        return losses

    return loop


WRONG_LOOPS: dict[Loop, str] = {
    _loop(
        forgets=False
    ): "Each step goes along the gradients of all steps so far: they add up until `optimizer.zero_grad()`.",
    _loop(
        anew=True
    ): "The optimizer is made anew for each step, and forgets what it has seen: make it once, before the loop.",
    _loop(optimizer_type=torch.optim.SGD): "This is the path of SGD: take `torch.optim.AdamW`, as the library does.",
    _loop(
        optimizer_type=torch.optim.Adam
    ): "This is the path of Adam: AdamW also shrinks what it trains a little in each step.",
    _loop(repeats=True): "Every step is made on the first batch: take the next one each time.",
}

INJECT = Exercise(
    solution=inject,
    check=judged(
        _examine_injection, "Each layer with one of the names, no other, and r(m + n) trained entries in each."
    ),
    difficulty="medium",
    minutes=10,
    stub_says=(
        "No layer of the model was replaced. Put a ShiraLinear at each path, in the model that was given: "
        "`model.set_submodule(path, ...)`. The names are q, up; the first path is blocks.0.q."
    ),
)

TRAIN = Exercise(
    solution=train,
    check=judged(_examine_loop, "One step of AdamW for each batch, and the loss of each as a plain number."),
    difficulty="easy",
    minutes=5,
    stub_says=(
        "A loss in your list is a tensor and keeps the whole graph of its step in memory: keep the number alone, "
        "`loss.item()`."
    ),
)
