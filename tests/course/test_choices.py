"""Choices of positions keep their budgets, agree as their definition says, and follow from one pass over samples."""

import re
from dataclasses import replace
from functools import cache

import choose_positions
import numpy as np
import pytest
import race_dynamic
import race_published
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import MLP
from torch import Tensor, nn

from shira_lab import ShiraConfig, calibrate, get_peft_model
from shira_lab.budget import max_r, num_params
from shira_lab.course.comparison.log import DYNAMIC, POSITIONS, PUBLISHED, shipped
from shira_lab.course.figures import agreement_figure, column_entries_figure
from shira_lab.course.masks.across_layers import global_positions, rank_pattern
from shira_lab.course.masks.choices import Choice, Choices
from shira_lab.course.masks.running import running_calibration
from shira_lab.errors import ConfigError, MaskError
from shira_lab.masks import find_mask
from shira_lab.masks.positions import from_mask

PATHS = ("lin0", "lin1", "lin2")
AFTER = (1, 3, 6)
REDUCTIONS = ("mean_abs", "abs_mean")


def mean_square(model: nn.Module, batch: Tensor) -> Tensor:
    return model(batch).square().mean()


def samples(count: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return list(torch.randn(count, 1, 10, generator=torch.Generator().manual_seed(1), dtype=dtype))


def make(seed: int = 0) -> MLP:
    torch.manual_seed(seed)
    return MLP().double()


@cache
def shared() -> Choices:
    model = make()
    found = running_calibration(model, PATHS, samples(6), AFTER, loss_fn=mean_square)
    return Choices({path: model.get_submodule(path) for path in PATHS}, found)


@pytest.fixture
def choices() -> Choices:
    return shared()


# ---- calibration after several numbers of samples -------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("after", [(6,), (1, 2, 6), (4, 5)])
def test_each_stop_is_what_calibrating_on_so_many_samples_gives(reduction: str, after: tuple[int, ...]) -> None:
    model, batches = make(), samples(6)
    found = running_calibration(model, PATHS, batches, after, loss_fn=mean_square)
    assert tuple(found) == after
    for n in after:
        alone = calibrate(model, PATHS, batches[:n], reduction, mean_square)
        assert all(torch.equal(found[n][reduction][path], alone[path]) for path in PATHS)


@given(n=st.integers(1, 6), seed=st.integers(0, 10))
def test_each_stop_is_the_mean_of_plain_autograd(n: int, seed: int) -> None:
    model, batches = make(seed), samples(n)
    found = running_calibration(model, ["lin1"], batches, (n,), loss_fn=mean_square)[n]
    weight = model.lin1.weight
    gradients = torch.stack([torch.autograd.grad(mean_square(model, batch), weight)[0] for batch in batches])
    torch.testing.assert_close(found["mean_abs"]["lin1"], gradients.abs().mean(0))
    torch.testing.assert_close(found["abs_mean"]["lin1"], gradients.mean(0).abs())
    assert bool((found["abs_mean"]["lin1"] <= found["mean_abs"]["lin1"] + 1e-15).all())  # the triangle inequality


def test_reading_ends_after_the_largest_number_and_the_model_is_as_before() -> None:
    model, stream = make().train(), iter(samples(6))
    running_calibration(model, PATHS, stream, (1, 4), loss_fn=mean_square)
    assert len(list(stream)) == 2
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("after", "error", "message"),
    [
        ((2, 9), MaskError, "`calibration` has 6 batches; 9 were asked for. Give more, or ask for fewer."),
        ((), ConfigError, "`after` should hold positive numbers of batches; got ()."),
        ((0, 3), ConfigError, "`after` should hold positive numbers of batches; got (0, 3)."),
    ],
)
def test_stops_that_cannot_be_are_refused(after: tuple[int, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        running_calibration(make(), PATHS, samples(6), after, loss_fn=mean_square)


# ---- all layers together --------------------------------------------------------------------------------------------

shapes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5)


@given(shapes=shapes, data=st.data())
def test_a_global_choice_takes_the_largest_of_all_and_exactly_k(
    shapes: list[tuple[int, int]], data: st.DataObject
) -> None:
    values = st.integers(0, 5)  # few values: many ties
    scores = {
        str(i): torch.tensor(data.draw(st.lists(values, min_size=m * n, max_size=m * n)), dtype=torch.float32).view(
            m, n
        )
        for i, (m, n) in enumerate(shapes)
    }
    flat = np.concatenate([score.flatten().numpy() for score in scores.values()])
    k = data.draw(st.integers(1, len(flat)))
    found = global_positions(scores, k)
    assert sum(map(len, found.values())) == k
    expected = np.sort(np.argsort(-flat, kind="stable")[:k])
    starts = np.cumsum([0, *(score.numel() for score in scores.values())])
    assert np.array_equal(np.concatenate([found[str(i)].numpy() + starts[i] for i in range(len(shapes))]), expected)


def test_a_global_choice_of_one_layer_is_the_mask_of_that_layer() -> None:
    layer = make().lin1
    mask = find_mask("magnitude")(layer, 2)
    assert torch.equal(global_positions({"lin1": layer.weight.abs()}, 80)["lin1"], from_mask(mask))


@pytest.mark.parametrize("k", [0, 5])
def test_a_global_choice_that_cannot_be_is_refused(k: int) -> None:
    message = f"A global choice of {k} entries is not possible: the layers have 4."
    with pytest.raises(MaskError, match=re.escape(message)):
        global_positions({"one": torch.ones(2, 2)}, k)


@given(shapes=st.lists(st.tuples(st.integers(2, 40), st.integers(2, 40)), min_size=1, max_size=6), data=st.data())
def test_the_r_of_a_layer_comes_nearest_to_its_share(shapes: list[tuple[int, int]], data: st.DataObject) -> None:
    named = {str(i): shape for i, shape in enumerate(shapes)}
    counts = {path: data.draw(st.integers(0, m * n)) for path, (m, n) in named.items()}
    for path, r in rank_pattern(counts, named).items():
        legal = range(1, max_r(named[path]) + 1)
        assert r in legal
        off = [abs(num_params(other, named[path]) - counts[path]) for other in legal]
        assert abs(num_params(r, named[path]) - counts[path]) == min(off)


def test_a_rank_pattern_makes_an_adapter_of_these_sizes(choices: Choices) -> None:
    counts = choices.counts(Choice(r=1, samples=6, scope="global"))
    pattern = rank_pattern(counts, choices.shapes)
    config = ShiraConfig(r=1, target_modules=list(PATHS), rank_pattern=pattern, random_seed=0)
    model = get_peft_model(make(), config)
    sizes = {path: layer.adapters["default"].positions.numel() for path, layer in model.base_model.adapter_layers()}
    assert sizes == {path: num_params(pattern[path], choices.shapes[path]) for path in PATHS}


# ---- choices --------------------------------------------------------------------------------------------------------

some_choice = st.builds(
    Choice,
    score=st.sampled_from(["magnitude", "gradient", "snip"]),
    r=st.integers(1, 6),
    samples=st.sampled_from(AFTER),
    reduction=st.sampled_from(REDUCTIONS),
    scope=st.sampled_from(["per layer", "global"]),
)


@pytest.mark.parametrize("score", ["magnitude", "gradient", "snip"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_choice_for_each_layer_is_the_mask_of_its_type(choices: Choices, score: str, reduction: str) -> None:
    choice = Choice(score, r=3, samples=3, reduction=reduction)
    for path in PATHS:
        gradient = choices.calibration[3][reduction][path]
        mask = find_mask(score)(choices.layers[path], 3, gradient=gradient)
        assert torch.equal(choices.positions(choice, path), from_mask(mask))


@given(choice=some_choice)
def test_budgets_are_exact(choice: Choice) -> None:
    counts = shared().counts(choice)
    total = sum(num_params(choice.r, shape) for shape in shared().shapes.values())
    assert sum(counts.values()) == shared().budget(choice, *PATHS) == total
    if choice.scope == "per layer":
        assert counts == {path: num_params(choice.r, shape) for path, shape in shared().shapes.items()}


@given(first=some_choice, second=some_choice, path=st.sampled_from(PATHS))
def test_agreement_is_symmetric_and_counts_what_is_common(first: Choice, second: Choice, path: str) -> None:
    second = replace(second, r=first.r, scope=first.scope)
    there, back = shared().agreement(first, second, path), shared().agreement(second, first, path)
    paths = PATHS if first.scope == "global" else (path,)
    sets = [{(p, i) for p in paths for i in shared().positions(c, p).tolist()} for c in (first, second)]
    assert there == back == len(sets[0] & sets[1]) / len(sets[0])
    assert shared().agreement(first, first, path) == 1.0


@given(choice=some_choice, path=st.sampled_from(PATHS))
def test_all_samples_agree_with_themselves_and_magnitude_needs_none(choice: Choice, path: str) -> None:
    curve = shared().agreement_with_all(choice, path)
    assert tuple(curve) == AFTER and curve[AFTER[-1]] == 1.0
    assert choice.score != "magnitude" or set(curve.values()) == {1.0}


@given(choice=some_choice)
def test_agreement_of_all_layers_weighs_each_by_its_budget(choice: Choice) -> None:
    choice, other = replace(choice, scope="per layer"), replace(choice, scope="per layer", samples=AFTER[0])
    shares = {path: shared().agreement(choice, other, path) * shared().budget(choice, path) for path in PATHS}
    expected = sum(shares.values()) / shared().budget(choice, *PATHS)
    assert shared().agreement(choice, other) == pytest.approx(expected)


@pytest.mark.parametrize("path", [*PATHS, None])
@pytest.mark.parametrize("scope", ["per layer", "global"])
def test_random_choices_agree_as_chance_says(choices: Choices, scope: str, path: str | None) -> None:
    choice, generator = Choice(r=3, scope=scope), np.random.default_rng(0)
    numel = {one: m * n for one, (m, n) in choices.shapes.items() if scope == "global" or path in (one, None)}
    budgets = {one: choices.budget(choice, one) for one in numel}
    if scope == "global":
        numel, budgets = {"": sum(numel.values())}, {"": sum(budgets.values())}
    pairs = 300
    common = sum(
        len(set(generator.permutation(size)[: budgets[one]]) & set(generator.permutation(size)[: budgets[one]]))
        for one, size in numel.items()
        for _ in range(pairs)
    )
    assert choices.chance(choice, path) == pytest.approx(common / pairs / sum(budgets.values()), abs=0.01)


def test_a_number_of_samples_that_was_not_kept_is_refused(choices: Choices) -> None:
    with pytest.raises(ConfigError, match=re.escape("after 2 samples was not kept; there are 1, 3, 6.")):
        choices.positions(Choice(r=1, samples=2), "lin0")


# ---- what ships -----------------------------------------------------------------------------------------------------


def test_the_shipped_runs_are_those_of_the_script() -> None:
    results = shipped(POSITIONS)
    assert results.protocol == choose_positions.PROTOCOL
    assert list(results.cells) and set(results.cells) == set(choose_positions.cells())
    assert len(results.runs) == len(results.cells) * (
        len(results.protocol.learning_rates) + len(results.protocol.seeds)
    )
    assert not [cell.label for cell in results.cells if results.at_edge(cell)]


def test_the_shipped_race_of_published_masks_is_that_of_its_script_under_the_same_protocol() -> None:
    race = shipped(PUBLISHED)
    assert race.protocol == choose_positions.PROTOCOL
    assert list(race.cells) == race_published.CELLS
    runs = len(race.protocol.learning_rates) + len(race.protocol.seeds)
    assert len(race.runs) == len(race.cells) * runs


def test_the_shipped_race_of_masks_that_move_is_that_of_its_script_as_far_as_it_goes() -> None:
    race = shipped(DYNAMIC)
    assert race.protocol == race_dynamic.PROTOCOL
    assert list(race.cells) == race_dynamic.cells()[: len(race.cells)]
    runs = len(race.protocol.learning_rates) + len(race.protocol.seeds)
    assert len(race.runs) == len(race.cells) * runs
    assert len({run.trainable for cell in race.with_budget(8) for run in race.reported(cell)}) == 1


# ---- pictures -------------------------------------------------------------------------------------------------------


def test_the_agreement_picture_has_a_curve_for_each_name_beside_chance() -> None:
    figure = agreement_figure({"gradient": {1: 0.2, 4: 0.5}, "snip": {2: 0.3, 4: 0.6}}, 0.04, "Agreement")
    assert [(trace.name, list(trace.x), list(trace.y)) for trace in figure.data] == [
        ("gradient", [1, 4], [0.2, 0.5]), ("snip", [2, 4], [0.3, 0.6])
    ]  # fmt: skip
    assert figure.layout.xaxis.type == "log" and list(figure.layout.xaxis.ticktext) == ["1", "2", "4"]
    assert figure.layout.shapes[0].y0 == 0.04 and figure.layout.annotations[0].text == "chance, 4.0%"
    assert len({(trace.line.color, trace.marker.symbol) for trace in figure.data}) == 2


def test_the_picture_of_columns_has_a_point_for_each_column_and_mask() -> None:
    figure = column_entries_figure([0.1, 2.0], {"magnitude": [0, 9], "random": [4, 5]}, "Columns")
    assert [(trace.name, list(trace.x), list(trace.y)) for trace in figure.data] == [
        ("magnitude", [0.1, 2.0], [0, 9]), ("random", [0.1, 2.0], [4, 5])
    ]  # fmt: skip
    assert len({(trace.marker.color, trace.marker.symbol) for trace in figure.data}) == 2
    assert figure.layout.showlegend and "trained entries" in figure.layout.yaxis.title.text
