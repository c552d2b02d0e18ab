"""The last exercise of the lesson on masks of one's own: one that learns more than `random` in a few steps."""

from functools import cache

import torch
from torch import nn

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.model import get_peft_model
from shira_lab.budget import num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.errors import ShiraError
from shira_lab.masks import MaskFn, random_mask
from shira_lab.models.hub import load_model
from shira_lab.training.data import batches, encode
from shira_lab.training.worlds import get_world

R, STEPS, LEARNING_RATE, SEEDS, BATCH, SAMPLES = 4, 6, 0.03, (0, 1), 4, 4


def beats_random(base_layer, r, gradient=None, random_seed=0, **kwargs):
    """Exactly r(m + n) ones, where a few steps change the loss most; `gradient` is |G|, the mean over some tales."""
    k = num_params(r, base_layer.weight.shape)
    score = gradient  # stub: score = torch.rand(gradient.shape, generator=torch.Generator().manual_seed(random_seed))
    mask = torch.zeros_like(base_layer.weight)
    mask.view(-1)[score.flatten().topk(k).indices] = 1
    return mask


def loss_after(mask_fn: MaskFn, seed: int) -> float:
    """Nats per token on tales held out, after the stated steps on others."""
    model, tokenizer = load_model("embedded")
    tales = [story.text for story in get_world("sea").stories((STEPS + 2) * BATCH, seed)]
    *training, one, two = batches(encode(tokenizer, tales), BATCH, tokenizer.pad_token_id)
    samples = list(batches(encode(tokenizer, tales[:SAMPLES]), 1, tokenizer.pad_token_id))
    config = ShiraConfig(r=R, target_modules="all-linear", mask_type="random", random_seed=seed)
    config.mask_fn = mask_fn
    trained = get_peft_model(model, config, calibration=samples)
    values = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(values, LEARNING_RATE, weight_decay=0.0)
    for batch in training:
        trained(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        return sum(float(trained(**batch).loss) for batch in (one, two)) / 2


#: By seed, what `random` leaves.
_random = cache(lambda seed: loss_after(random_mask, seed))


def _check(answer: Solution) -> Verdict:
    try:
        losses = [(loss_after(answer, seed), _random(seed)) for seed in SEEDS]
    except ShiraError as error:
        return Verdict(False, str(error))
    told = "; ".join(f"yours {yours:.2f}, random {theirs:.2f}" for yours, theirs in losses)
    ahead = [yours < theirs for yours, theirs in losses]
    if all(ahead):
        return Verdict(True, f"After {STEPS} steps, nats per token with each seed: {told}. Would it last for sixty?")
    layer = nn.Linear(48, 36, bias=False)
    one, two = (answer(layer, R, gradient=torch.rand(36, 48), random_seed=0) for _ in range(2))
    if torch.equal(one, two):
        return Verdict(
            False,
            f"After {STEPS} steps `random` has learned as much, or more. Your mask is the same whatever the gradient "
            f"is: "
            "entries with a large |G| change the loss most.",
        )
    why = "once is chance" if any(ahead) else "are the largest |G| chosen, or the smallest?"
    return Verdict(False, f"After {STEPS} steps, nats per token with each seed: {told}. Not ahead with each: {why}.")


BEATS_RANDOM = Exercise(
    solution=beats_random,
    check=_check,
    difficulty="medium",
    minutes=12,
    stub_says=(
        f"After {STEPS} steps `random` has learned as much, or more. Your mask is the same whatever the gradient is: "
        "entries with a large |G| change the loss most."
    ),
)
