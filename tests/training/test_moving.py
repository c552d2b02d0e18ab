"""A mask that moves keeps its budget, what belongs to each entry goes with it, and all of it survives its files."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_finetune import Crash, learned, run, without_times
from tiny import same_bits, snapshot, tiny_opt
from tiny_lm import tiny_lm, tokenizer
from torch import Tensor, nn

from shira_lab import PeftModel, ShiraConfig, get_peft_model
from shira_lab.errors import ConfigError
from shira_lab.layers import ShiraAdapter
from shira_lab.training.forecast import forecast
from shira_lab.training.history import History
from shira_lab.training.moving.callback import MovingMask
from shira_lab.training.moving.drop_and_grow import DropAndGrow, drop_and_grow
from shira_lab.training.moving.film import Film
from shira_lab.training.moving.learned import LearnedSelection
from shira_lab.training.moving.schedule import END, Schedule
from shira_lab.training.recorder import Recorder
from shira_lab.training.settings import Settings

X = torch.linspace(-1, 1, 80).view(5, 16)
SETTINGS = Settings(steps=16, swap_every=4, swap_share=0.5, r=2, mask_type="random")
MOVING = ("rigl", "spiel", "random", "learned")
every_rule = pytest.mark.parametrize("moves", MOVING)


def adapted() -> PeftModel:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 24))
    return get_peft_model(model, ShiraConfig(r=2, target_modules=["0", "2"], random_seed=0)).train()


def adapters(model: PeftModel) -> dict[str, ShiraAdapter]:
    return {path: layer.get_adapter("default") for path, layer in model.base_model.adapter_layers()}


def mover(model: PeftModel, film: Film | None = None, **changes: Any) -> MovingMask:
    settings = dataclasses.replace(SETTINGS, **changes)
    return (LearnedSelection if settings.mask_moves == "learned" else DropAndGrow)(model, settings, film)


class Loop:
    """The Trainer's loop: it calls the callback where transformers does."""

    def __init__(self, model: PeftModel, moving: MovingMask) -> None:
        self.model, self.moving, self.done = model, moving, 0
        self.optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)

    def step(self, before_the_swap: Callable[[], None] = lambda: None, factor: float = 1.0) -> None:
        state: Any = SimpleNamespace(global_step=self.done)
        nothing: Any = None
        self.moving.on_step_begin(nothing, state, nothing)
        (self.loss() * factor).backward()
        self.optimizer.step()
        before_the_swap()
        self.moving.on_optimizer_step(nothing, state, nothing, optimizer=self.optimizer)
        self.optimizer.zero_grad()
        self.done += 1

    def loss(self) -> Tensor:
        return (self.model(X * (1 + 0.1 * self.done)) - 1).pow(2).sum()

    def dense_gradients(self) -> dict[str, Tensor]:
        """dL/d(W + S) of the next step, by PyTorch on a model with weights of its own."""
        with torch.no_grad():
            bare = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 24))
            for path, layer in self.model.base_model.adapter_layers():
                bare.get_submodule(path).weight.copy_(layer.base_weight() + layer.get_delta_weight("default"))
                bare.get_submodule(path).bias.copy_(layer.bias)
        (bare(X * (1 + 0.1 * self.done)) - 1).pow(2).sum().backward()
        return {path: bare.get_submodule(path).weight.grad.flatten() for path in adapters(self.model)}


def entries(model: PeftModel, optimizer: torch.optim.Optimizer) -> dict[tuple[str, int], tuple[float, ...]]:
    """(layer, position) -> value, and Adam's two moments."""
    found = {}
    for path, adapter in adapters(model).items():
        state = optimizer.state[adapter.shira_weight]
        rows = torch.stack([adapter.shira_weight.detach(), state["exp_avg"], state["exp_avg_sq"]], 1).tolist()
        found |= {(path, at): tuple(row) for at, row in zip(adapter.positions.tolist(), rows, strict=True)}
    return found


# ---- one swap -------------------------------------------------------------------------------------------------------


@given(st.data())
def test_a_swap_drops_the_smallest_grows_the_largest_and_keeps_the_budget(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    k = data.draw(st.integers(1, size))
    share = data.draw(st.floats(0.0, 0.99))
    positions = torch.tensor(sorted(data.draw(st.permutations(range(size)))[:k]))
    drop_score, grow_score = torch.randperm(k).float(), torch.randperm(size).float()
    after = drop_and_grow(positions, drop_score, grow_score, share)
    n = min(int(share * k), size - k)
    outside = sorted(set(range(size)) - set(positions.tolist()), key=lambda at: -grow_score[at])
    kept = positions[drop_score.argsort(descending=True)[: k - n]].tolist()
    assert after.tolist() == sorted([*kept, *outside[:n]])


def test_the_share_falls_along_a_cosine_and_the_swaps_end() -> None:
    schedule = Schedule(steps=100, every=10, first=0.4)
    assert list(schedule.swaps) == [10, 20, 30, 40, 50, 60, 70]
    for step in schedule.swaps:
        assert schedule.share(step) == pytest.approx(0.2 * (1 + math.cos(math.pi * step / (END * 100))))
    assert list(Schedule(steps=10, every=10, first=0.4).swaps) == []


@pytest.mark.parametrize("moves", ["rigl", "spiel", "random"])
@pytest.mark.parametrize("drop", ["value", "value_gradient"])
def test_an_entry_is_kept_with_its_past_or_dropped_or_grown_without_any(moves: Any, drop: Any) -> None:
    model = adapted()
    loop = Loop(model, mover(model, mask_moves=moves, drop=drop))
    before: dict[tuple[str, int], tuple[float, ...]] = {}
    for _ in range(4):
        loop.step(lambda: before.clear() or before.update(entries(model, loop.optimizer)))
    after = entries(model, loop.optimizer)
    kept, grown = before.keys() & after.keys(), after.keys() - before.keys()
    assert kept and grown and len(after) == len(before)
    assert all(after[at] == before[at] for at in kept)
    assert all(after[at] == (0.0, 0.0, 0.0) for at in grown)
    loop.step()
    assert all(entries(model, loop.optimizer)[at][0] for at in grown)  # and trains from there


@pytest.mark.parametrize("moves, batches", [("rigl", 1), ("spiel", 4)])
def test_what_is_grown_has_the_largest_dense_gradient_of_these_batches(moves: Any, batches: int) -> None:
    model = adapted()
    loop = Loop(model, mover(model, mask_moves=moves))
    first = {path: adapter.positions for path, adapter in adapters(model).items()}
    sums = {path: torch.zeros(16 * (16 if path == "0" else 24)) for path in first}
    for step in range(1, 5):
        for path, gradient in loop.dense_gradients().items():
            sums[path] += gradient if step > 4 - batches else 0
        loop.step()
    for path, adapter in adapters(model).items():
        grown = adapter.positions[~torch.isin(adapter.positions, first[path])]
        n = int(Schedule(16, 4, 0.5).share(4) * adapter.positions.numel())
        score = sums[path].abs()
        score[first[path]] = -1
        assert grown.tolist() == sorted(score.topk(n).indices.tolist())


def test_what_is_dropped_has_the_smallest_value_times_gradient() -> None:
    model = adapted()
    loop = Loop(model, mover(model, mask_moves="rigl", drop="value_gradient"))
    for _ in range(3):
        loop.step()
    gradients, seen = loop.dense_gradients(), {}
    loop.step(
        lambda: seen.update({p: (a.positions, a.shira_weight.detach().clone()) for p, a in adapters(model).items()})
    )
    for path, (positions, values) in seen.items():
        dropped = ~torch.isin(positions, adapters(model)[path].positions)
        score = (values * gradients[path][positions]).abs()
        assert dropped.any() and score[dropped].max() < score[~dropped].min()


def test_random_growth_is_the_seeds_and_each_layers_own() -> None:
    def positions(seed: int) -> list[list[int]]:
        model = adapted()
        loop = Loop(model, mover(model, mask_moves="random", seed=seed))
        for _ in range(4):
            loop.step()
        return [adapter.positions.tolist() for adapter in adapters(model).values()]

    assert positions(3) == positions(3) != positions(4)


# ---- learned scores -------------------------------------------------------------------------------------------------


def test_scores_follow_the_gradient_of_a_straight_through_mask() -> None:
    """dL/dS by autograd of a mask of ones and zeros in W + M * V, with the trial values of Adam's first step."""
    model = adapted()
    moving = mover(model, mask_moves="learned")
    assert isinstance(moving, LearnedSelection)
    loop = Loop(model, moving)
    expected = {path: scores.score.clone() for path, scores in moving.scores.items()}
    for _ in range(3):
        gradients = loop.dense_gradients()
        for path, gradient in gradients.items():
            value, mask = moving.scores[path].value.clone(), torch.ones(gradient.numel(), requires_grad=True)
            (mask * value * gradient).sum().backward()  # the loss to first order around W + S
            assert mask.grad is not None
            expected[path] -= mask.grad
        loop.step()
    for path, scores in moving.scores.items():
        torch.testing.assert_close(scores.score, expected[path], rtol=1e-4, atol=1e-6)
        k = adapters(model)[path].positions.numel()
        assert set(adapters(model)[path].positions.tolist()) == set(scores.score.topk(k).indices.tolist())


def test_the_first_trial_of_an_entry_outside_the_mask_is_one_step_of_adam() -> None:
    model = adapted()
    moving = mover(model, mask_moves="learned")
    assert isinstance(moving, LearnedSelection)
    loop = Loop(model, moving)
    gradients, first = loop.dense_gradients(), {p: a.positions for p, a in adapters(model).items()}
    loop.step()
    for path, adapter in adapters(model).items():
        assert torch.equal(adapter.positions, first[path])  # nothing was known before
        torch.testing.assert_close(moving.scores[path].value, -0.1 * gradients[path].sign(), rtol=1e-3, atol=1e-4)


def test_an_entry_that_is_chosen_begins_with_its_trial_value() -> None:
    model = adapted()
    loop = Loop(model, mover(model, mask_moves="learned"))
    before = {path: set(adapter.positions.tolist()) for path, adapter in adapters(model).items()}
    loop.step()
    loop.step()
    for path, adapter in adapters(model).items():
        new = torch.tensor([at not in before[path] for at in adapter.positions.tolist()])
        assert new.any() and adapter.shira_weight[new].all()


# ---- every rule -----------------------------------------------------------------------------------------------------


@every_rule
def test_the_budget_is_exact_after_each_step_and_the_mask_stays_in_the_end(moves: Any) -> None:
    model = adapted()
    loop = Loop(model, mover(model, mask_moves=moves))
    sizes = {path: adapter.positions.numel() for path, adapter in adapters(model).items()}
    masks: list[list[int]] = []
    for _ in range(SETTINGS.steps):
        loop.step()
        for path, adapter in adapters(model).items():
            assert adapter.positions.numel() == sizes[path] and bool((adapter.positions.diff() > 0).all())
        masks.append(adapters(model)["2"].positions.tolist())
    last_move = max(step for step in range(1, SETTINGS.steps) if masks[step] != masks[step - 1]) + 1
    assert last_move < END * SETTINGS.steps and masks[0] != masks[-1]


@every_rule
def test_the_base_weights_are_as_they_were_and_take_no_gradient(moves: Any) -> None:
    model = adapted()
    before = [layer.base_weight().clone() for _, layer in model.base_model.adapter_layers()]
    loop = Loop(model, mover(model, mask_moves=moves))
    for _ in range(6):
        loop.step()
    for (_, layer), weight in zip(model.base_model.adapter_layers(), before, strict=True):
        assert torch.equal(layer.weight, weight) and layer.weight.grad is None and not layer.weight.requires_grad
        assert not layer.weight._post_accumulate_grad_hooks


def test_a_merged_model_has_the_moved_mask_in_its_weight() -> None:
    model, other = adapted(), adapted()
    loop = Loop(model, mover(model, mask_moves="random"))
    for _ in range(3):
        loop.step()
    model.merge_adapter()
    nothing: Any = None
    state: Any = SimpleNamespace(global_step=3)
    loop.moving.on_optimizer_step(nothing, state, nothing, optimizer=loop.optimizer)
    [(_, layer), *_] = model.base_model.adapter_layers()
    assert layer.merged and not torch.equal(layer.get_adapter("default").positions, adapters(other)["0"].positions)
    torch.testing.assert_close(layer.weight, layer.base_weight() + layer.get_delta_weight("default"))
    model.unmerge_adapter()
    assert torch.equal(layer.weight, next(other.base_model.adapter_layers())[1].weight)


@every_rule
def test_a_gradient_that_is_not_finite_moves_nothing(moves: Any) -> None:
    model = adapted()
    loop = Loop(model, mover(model, mask_moves=moves, drop="value_gradient"))
    before = {path: adapter.positions for path, adapter in adapters(model).items()}
    for _ in range(4):
        loop.step(factor=math.inf)
    assert all(torch.equal(adapter.positions, before[path]) for path, adapter in adapters(model).items())


def test_a_weight_that_two_layers_share_is_looked_at_once() -> None:
    torch.manual_seed(0)
    shared = nn.Linear(16, 16)
    other = nn.Linear(16, 16)
    other.weight = shared.weight
    model = get_peft_model(
        nn.Sequential(shared, nn.Tanh(), other), ShiraConfig(r=2, target_modules=["0", "2"], random_seed=0)
    )
    loop = Loop(model.train(), mover(model, mask_moves="rigl"))
    first = adapters(model)["0"].positions
    loop.loss = lambda: model(X).pow(2).sum()  # type: ignore[method-assign]
    for _ in range(4):
        loop.step()
    found = [adapter.positions for adapter in adapters(model).values()]
    assert all(positions.numel() == first.numel() and not torch.equal(positions, first) for positions in found)


def test_a_layer_whose_weight_takes_no_gradient_is_refused() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(16, 16))
    model = get_peft_model(nn.ModuleDict({"fc": layer}), ShiraConfig(r=2, target_modules=["fc"], random_seed=0))
    with pytest.raises(ConfigError) as caught:
        mover(model, mask_moves="rigl")
    assert str(caught.value) == (
        "Layer 'fc' has no weight of floating-point numbers that could take a gradient, so its mask cannot follow one. "
        "Choose `mask_moves` 'never' or 'random', or leave the layer out."
    )
    mover(model, mask_moves="random")


# ---- a whole run ----------------------------------------------------------------------------------------------------

RUN = Settings(
    model="tiny", steps=12, batch_size=2, eval_every=3, eval_stories=2, sample_tokens=2, r=2, mask_type="random",
    swap_every=4,
)  # fmt: skip


@pytest.mark.parametrize("moves", ["spiel", "learned"])
def test_a_run_that_crashed_between_two_swaps_resumes_bit_for_bit(moves: Any, tmp_path: Path) -> None:
    settings = dataclasses.replace(RUN, mask_moves=moves)
    whole = run(settings)

    def crash() -> bool:
        if (tmp_path / "checkpoints/checkpoint-6").exists():  # spiel has seen two of its four batches
            raise Crash
        return False

    model = tiny_lm()
    with pytest.raises(Crash):
        run(settings, model, output_dir=tmp_path, should_stop=crash)
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())
    resumed = run(settings, output_dir=tmp_path, resume=True)
    assert same_bits(learned(whole), learned(resumed))
    assert without_times(whole.history) == without_times(resumed.history)
    assert [point.step for point in whole.history.swaps_of(whole.history.layers[0])] == [4, 8]


def test_peft_and_the_compact_file_hold_the_mask_that_has_moved(tmp_path: Path) -> None:
    tuned = run(dataclasses.replace(RUN, mask_moves="rigl"), output_dir=tmp_path / "run")
    tuned.model.save_pretrained(tmp_path / "compact", compact=True)
    ids = torch.tensor([tokenizer()("Once there was a pirate")["input_ids"]])
    with torch.no_grad():
        expected = tuned.model.eval()(ids).logits
        ours = PeftModel.from_pretrained(tiny_lm(), tmp_path / "compact").eval()(ids).logits
        theirs = peft.PeftModel.from_pretrained(tiny_lm(), str(tmp_path / "run")).eval()(ids).logits
    assert torch.equal(ours, expected)
    torch.testing.assert_close(theirs, expected)


def test_a_run_that_diverges_after_a_swap_has_the_mask_of_the_last_good_measurement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[dict[str, Tensor]] = []

    def poison(recorder: Recorder, now: bool = False) -> None:
        trained = recorder.probe.trained
        if recorder.history.step == 3 + len(seen) < 5:
            seen.append(snapshot(trained))
            if len(seen) == 2:  # the mask has moved since the measurement
                next(p for p in trained.parameters() if p.requires_grad).data.fill_(float("nan"))

    monkeypatch.setattr(Recorder, "report", poison)
    tuned = run(dataclasses.replace(RUN, mask_moves="random", learning_rate=0.03))
    assert tuned.history.status == "diverged" and "learned up to step 3 is kept" in tuned.history.message
    assert same_bits(seen[0], snapshot(tuned.model))
    name = next(name for name in seen[0] if name.endswith("positions"))
    assert not torch.equal(seen[0][name], seen[1][name])


def test_the_film_counts_what_a_swap_has_done() -> None:
    model = adapted()
    history = History(SETTINGS)
    loop = Loop(model, mover(model, Film(history, model, ["0", "2"]), mask_moves="random"))
    masks = [set(adapters(model)["2"].positions.tolist())]
    for step in range(1, 9):
        loop.step()
        if step in (4, 8):
            masks.append(set(adapters(model)["2"].positions.tolist()))
    for swap, before, after in zip(history.swaps_of("2"), masks, masks[1:], strict=False):
        assert (swap.kept, swap.grown) == (len(before & after), len(after - before))
    assert [swap.ever for swap in history.swaps_of("2")] == [
        len(masks[0] | masks[1]),
        len(masks[0] | masks[1] | masks[2]),
    ]
    assert [swap.step for swap in history.swaps_of("0")] == [4, 8]


def test_random_values_stand_beside_the_rank_at_the_positions_of_their_step() -> None:
    history = run(dataclasses.replace(RUN, mask_moves="learned")).history
    path = history.layers[1]
    assert [point.step for point in history.controls if point.layer == path] == [0, 6, 9]
    assert history.control_of(path, 3).step == 0 and history.control_of(path).step == 9
    assert len(history.last_controls) == len(history.layers)


def test_a_mask_that_moves_needs_dense_memory() -> None:
    model = tiny_opt(vocab_size=len(tokenizer()), max_position_embeddings=256, pad_token_id=0)
    weights = (
        sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
        - model.lm_head.weight.numel()
    )

    def dense(moves: Any) -> int:
        found = forecast(model, tokenizer(), dataclasses.replace(RUN, mask_moves=moves))
        assert found is not None
        return found.parts.get("moving mask", 0)

    assert [dense(moves) for moves in ("never", "rigl", "learned")] == [0, 4 * weights, 20 * weights]


def test_settings_say_which_share_can_move_and_what_a_run_is_called() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(swap_share=1.0)
    assert str(caught.value) == "`swap_share` should be a number between 0 and 1; got 1.0."
    assert Settings(mask_type="random", mask_moves="rigl").label == "SHiRA random, RigL, r=8"
    assert Settings(mask_type="random").label == "SHiRA random, r=8"
