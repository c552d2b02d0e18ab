"""Whether a trained update needs its rank is for the loss to say: what is left of it with fewer directions."""

import copy
from collections.abc import Iterable

import torch

from shira_lab.adapters.model import PeftModel
from shira_lab.errors import ShiraError
from shira_lab.masks.positions import weight_of
from shira_lab.training.corpus import find_corpus
from shira_lab.training.evaluate import row_loss
from shira_lab.training.finetuned import Finetuned
from shira_lab.training.methods import delta_weight, trained_layers


@torch.no_grad()
def excess_by_rank(run: Finetuned, ranks: Iterable[int]) -> dict[int, float]:
    """q -> the held-out excess of the run's model when each update S keeps its q strongest directions alone.

    S_q = sum_{i <= q} sigma_i u_i v_i^T is the best approximation of S of rank q (Eckart & Young 1936). q = 0 is the
    model before training. The run's own model stays as it is.

    Raises:
        ShiraError: for a run that has trained no adapter.
    """
    settings = run.history.settings
    if not isinstance(run.model, PeftModel):
        raise ShiraError(f"`run` has the method {settings.method!r} and no adapter; expected 'shira' or 'lora'.")
    held_out = find_corpus(settings.world, run.tokenizer, settings.max_length).held_out(settings.eval_stories)
    bare = copy.deepcopy(run.model).unload()
    weights = {path: weight_of(bare.get_submodule(path)) for path in trained_layers(run.model, settings)}
    before = {path: weight.clone() for path, weight in weights.items()}
    factors = {path: torch.linalg.svd(delta_weight(run.model, run.base, path), full_matrices=False) for path in weights}
    found = {}
    for q in ranks:
        for path, (u, sigma, v_t) in factors.items():
            weights[path].copy_(before[path] + u[:, :q] * sigma[:q] @ v_t[:q])
        loss, tokens = row_loss(bare, held_out.rows, run.tokenizer.pad_token_id)
        found[q] = loss - held_out.nats / tokens
    return found
