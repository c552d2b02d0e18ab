"""The second exercise of the lesson on choosing positions: what Wanda asks of the data, with a hook."""

from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.mistakes import compared


def input_norms(model, layer, batches):
    """||x_j|| of each input j of `layer`, (n,), over all tokens of all batches; each is given as `model(**batch)`."""
    squares = []

    def look(module, inputs, output):
        x = inputs[0].flatten(0, -2)  # (tokens, n)
        squares.append(x.square().sum(dim=0))  # stub: squares.append(x.norm(dim=1))

    hook = layer.register_forward_hook(look)
    with torch.no_grad():
        for batch in batches:
            model(**batch)
    hook.remove()
    return torch.stack(squares).sum(dim=0).sqrt()  # stub: return squares[0]


class Small(nn.Module):
    """A model with one linear layer of 5 inputs and 3 outputs, whose inputs differ in size."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embed = nn.Embedding(11, 5)
        self.layer = nn.Linear(5, 3)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.embed.weight.data *= torch.tensor([0.2, 1.0, 3.0, 0.5, 2.0])

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.layer(self.embed(input_ids)).sum()


def _batches(*shapes: tuple[int, int]) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [{"input_ids": torch.randint(11, shape, generator=generator)} for shape in shapes]


def _inputs(model: Small, batches: list[dict[str, Tensor]]) -> list[Tensor]:
    """The layer's inputs, (tokens, 5) for each batch."""
    return [model.embed(batch["input_ids"]).flatten(0, -2) for batch in batches]


def _outputs(model: Small, batches: list[dict[str, Tensor]]) -> Tensor:
    return model.layer(torch.cat(_inputs(model, batches)))


CASES = (_batches((2, 4), (1, 7), (3, 2)), _batches((1, 6)), _batches((4, 3), (2, 5)))

#: Each is given the model, for itself and its layer, and the batches.
MISTAKES: dict[str, Solution] = {
    "One number for each token of the first batch: the norm runs over the tokens, `dim=0`, and leaves one for each "
    "input. "
    "And every batch counts.": lambda model, batches: _inputs(model, batches)[0].norm(dim=1),
    "One number for each token: the norm runs over the tokens, `dim=0`, and leaves one for each input.": (
        lambda model, batches: torch.cat(_inputs(model, batches)).norm(dim=1)
    ),
    "Only the first batch counts in your answer: sum over all of them.": lambda model, batches: _inputs(model, batches)[
        0
    ].norm(dim=0),
    "Only the last batch counts in your answer: each call of the hook replaces what the one before has found.": (
        lambda model, batches: _inputs(model, batches)[-1].norm(dim=0)
    ),
    "The norms of the batches are added up. A norm over all tokens is the root of the sum of all squares: add the "
    "squares, "
    "and take the root at the end.": lambda model, batches: sum(x.norm(dim=0) for x in _inputs(model, batches)),
    "The root is missing: these are sums of squares.": lambda model, batches: (
        torch.cat(_inputs(model, batches)).square().sum(0)
    ),
    "These are sums of |x|; a norm squares, sums, and takes the root.": lambda model, batches: (
        torch.cat(_inputs(model, batches)).abs().sum(0)
    ),
    "This is the root of the mean square. Wanda's mask would be the same, as all inputs are divided alike, but the "
    "norm is "
    "the root of the sum.": lambda model, batches: torch.cat(_inputs(model, batches)).square().mean(0).sqrt(),
    "These are norms of the layer's outputs: `inputs[0]` is what went in.": lambda model, batches: _outputs(
        model, batches
    ).norm(dim=0),
    "This is one number for all inputs together: sum over the tokens alone.": lambda model, batches: torch.cat(
        _inputs(model, batches)
    ).norm(),
}


def _otherwise(case: tuple[Any, ...], given: Any, truth: Tensor) -> str:
    if not isinstance(given, Tensor):
        return f"A tensor of shape {tuple(truth.shape)} is asked for; got a {type(given).__name__}."
    if given.shape != truth.shape:
        return f"The layer has {len(truth)} inputs, so the shape is ({len(truth)},); yours is {tuple(given.shape)}."
    return f"For {len(case[1])} batches input 0 has the norm {float(truth[0]):.3f}; yours is {float(given[0]):.3f}."


def _check(answer: Solution) -> Verdict:
    model = Small()
    batches = CASES[0]
    found = answer(model, model.layer, batches)
    if model.layer._forward_hooks or model.layer._forward_pre_hooks:
        return Verdict(
            False, "The hook stays on the layer, and would look at every later pass: end with `hook.remove()`."
        )
    if isinstance(found, Tensor) and found.requires_grad:
        return Verdict(
            False, "Your answer still hangs on the graph of the forward passes: run them under `torch.no_grad()`."
        )
    cases = tuple((Small(), batches) for batches in CASES)
    praise = "The norms of all inputs, over all tokens of all batches, and no trace is left on the model."
    return compared(
        lambda model, batches: answer(model, model.layer, batches),
        lambda model, batches: input_norms(model, model.layer, batches),
        cases,
        MISTAKES,
        _otherwise,
        praise,
    )


INPUT_NORMS = Exercise(
    solution=input_norms, check=_check, difficulty="medium", minutes=12, stub_says=next(iter(MISTAKES))
)
