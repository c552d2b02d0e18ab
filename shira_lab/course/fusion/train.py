"""Train an adapter until it is as strong as asked: the loop itself, as it has to end at a loss and not at a step.

:func:`shira_lab.training.finetune.finetune` is the way to train; its schedule ends after a number of steps.
"""

import torch
from transformers import PreTrainedTokenizerBase

from shira_lab.adapters.model import PeftModel
from shira_lab.errors import ShiraError
from shira_lab.training.data import collate, encode
from shira_lab.training.evaluate import story_loss
from shira_lab.training.worlds import World

WARM_UP = 4  # steps
FALL = 0.08  # nats/token: after the first look, no step gains more


def train_to(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    world: World,
    target: float,
    *,
    learning_rate: float,
    steps: int,
    batch_size: int,
    stories: int,
    seed: int,
    first_look: int,
) -> int:
    """Train the active adapter on ``world`` until its held-out excess is at most ``target`` (nats/token).

    The learning rate falls linearly and would be zero after ``steps``. The model is measured from step ``first_look``
    on, the more often the nearer it comes, every step at last, so that it ends just below the target.

    Returns:
        The steps that it took.

    Raises:
        ShiraError: when the target was not reached in that many steps.
    """
    held_out = world.stories(stories, split="held-out")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: min(1.0, (done + 1) / WARM_UP, 1 - done / steps)
    )
    look, excess = min(first_look, steps), float("inf")
    model.train()
    for step in range(1, steps + 1):
        numbers = range((step - 1) * batch_size, step * batch_size)
        rows = encode(tokenizer, [world.story(f"train/{seed}/{number}").text for number in numbers])
        model(**collate(rows, tokenizer.pad_token_id)).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step == look:
            excess = story_loss(model, tokenizer, held_out).excess
            if excess <= target:
                model.eval()
                return step
            look += max(1, int((excess - target) / FALL))
    raise ShiraError(
        f"An excess of {target:g} nats/token on '{world.name}' was not reached in {steps} steps; the last one measured "
        f"was {excess:.2f}. Allow more steps, or ask for less."
    )
