"""A comparison is fair, adds up, survives its log, and what ships keeps to its own protocol."""

import json
import math
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import compare
import numpy as np
import pytest
from comparisons import BEST, FULL, LORA, PROTOCOL, RANDOM, SEEDS, a_comparison, a_run
from hypothesis import given
from hypothesis import strategies as st

from shira_lab.budget import num_params
from shira_lab.course.comparison.log import SHIPPED, append_run, begin_log, read_log, shipped
from shira_lab.course.comparison.measures import CONSISTENCY, EXCESS, FORGETTING, MEASURES, RANK, reference_at
from shira_lab.course.comparison.records import Cell, Protocol, Run
from shira_lab.course.comparison.results import Comparison, Spread
from shira_lab.course.comparison.run import control_ranks, run_cell
from shira_lab.course.figures import forgetting_figure, rank_against_excess_figure, seeds_figure, tuning_figure
from shira_lab.errors import ConfigError, StorageError
from shira_lab.masks import mask_types
from shira_lab.training.worlds import get_world

finite = st.floats(-1e3, 1e3)
spreads = st.lists(finite, min_size=2, max_size=5).map(lambda values: Spread(tuple(values)))


# ---- what the runs say ----------------------------------------------------------------------------------------------


def test_the_best_learning_rate_has_the_least_excess_and_never_one_that_diverged() -> None:
    comparison = a_comparison()
    assert {cell: comparison.best_rate(cell) for cell in comparison.cells} == BEST
    assert comparison.tuning(LORA) == {0.01: 1.5, 0.03: 0.8, 0.1: math.inf}


def test_a_best_rate_at_the_edge_of_the_grid_is_said() -> None:
    comparison = a_comparison()
    assert [comparison.at_edge(cell) for cell in (LORA, RANDOM, FULL)] == [False, True, False]


def test_full_tuning_may_have_a_grid_of_its_own_and_is_whole_and_at_the_edge_by_that_one() -> None:
    comparison = a_comparison()
    wider = replace(PROTOCOL, full_learning_rates=(0.001, *PROTOCOL.learning_rates))
    assert [wider.rates(cell) for cell in (LORA, FULL)] == [PROTOCOL.learning_rates, wider.full_learning_rates]
    assert Comparison(wider, comparison.runs).cells == (LORA, RANDOM)
    upper = Comparison(replace(PROTOCOL, full_learning_rates=(0.03, 0.1)), comparison.runs)
    assert [upper.at_edge(cell) for cell in (LORA, FULL)] == [False, True]


def test_the_tuning_seed_is_not_among_those_reported() -> None:
    comparison = a_comparison()
    for cell in comparison.cells:
        assert [run.seed for run in comparison.reported(cell)] == [0, 1, 2]
        assert comparison.over_seeds(cell, EXCESS.of).values == SEEDS[cell]


@pytest.mark.parametrize("missing", range(6))
def test_a_cell_counts_only_with_its_whole_grid_and_all_its_seeds(missing: int) -> None:
    comparison = a_comparison()
    lora_runs = [run for run in comparison.runs if run.cell == LORA]
    runs = tuple(run for run in comparison.runs if run is not lora_runs[missing])
    assert Comparison(PROTOCOL, runs).cells == (RANDOM, FULL)


def test_full_tuning_stands_beside_every_budget() -> None:
    assert a_comparison().with_budget(8) == (LORA, RANDOM, FULL)
    assert a_comparison().with_budget(2) == (FULL,)


@given(spreads)
def test_mean_and_deviation_are_numpys(spread: Spread) -> None:
    assert spread.mean == pytest.approx(np.mean(spread.values), abs=1e-9)
    assert spread.deviation == pytest.approx(np.std(spread.values, ddof=1), abs=1e-9)


def test_a_seed_that_diverged_leaves_no_deviation() -> None:
    assert math.isnan(Spread((1.0, math.inf)).deviation)


@given(spreads, spreads)
def test_a_difference_counts_only_where_no_value_lies_among_the_others(first: Spread, second: Spread) -> None:
    below = all(one < other for one in first.values for other in second.values)
    above = all(one > other for one in first.values for other in second.values)
    assert first.against(second) == ("lower" if below else "higher" if above else "tie")
    opposite = {"lower": "higher", "higher": "lower", "tie": "tie"}
    assert second.against(first) == opposite[first.against(second)]


def test_three_equal_seeds_lie_apart_by_chance_in_two_of_twenty_orders() -> None:
    orders = [(set(chosen), set(range(6)) - set(chosen)) for chosen in combinations(range(6), 3)]
    apart = [Spread(tuple(a)).against(Spread(tuple(b))) != "tie" for a, b in orders]
    assert (sum(apart), len(orders)) == (2, 20)


def test_consistency_is_counted_over_all_reported_runs() -> None:
    assert a_comparison().consistency(LORA) == {"hero": (63, 90), "mood": (3, 12), "home": (0, 0)}


def test_the_measures_of_a_run() -> None:
    run = a_run(LORA, 0.03, 1, 0.84)
    assert FORGETTING.of(run) == pytest.approx(3.0)
    assert CONSISTENCY.of(run) == 22
    assert RANK.of(run) == 7
    tuning = a_run(LORA, 0.03, PROTOCOL.tuning_seed, 0.8)
    assert all(math.isnan(measure.of(tuning)) for measure in MEASURES.values() if measure is not EXCESS)


@given(st.floats(0.84, 8.0))
def test_forgetting_at_equal_learning_is_read_off_the_curve_as_numpy_reads_it(excess: float) -> None:
    run = a_run(LORA, 0.03, 1, 0.84)
    learned, old = [point.excess for point in run.points], [point.reference for point in run.points]
    assert reference_at(run, excess) == pytest.approx(np.interp(excess, learned[::-1], old[::-1]))


def test_learning_that_was_never_reached_has_no_forgetting() -> None:
    assert math.isnan(reference_at(a_run(LORA, 0.03, 1, 0.84), 0.5))
    assert math.isnan(reference_at(a_run(LORA, 0.03, PROTOCOL.tuning_seed, 0.8), 2.0))


@pytest.mark.parametrize(
    ("cell", "label"), [(LORA, "LoRA, r=8"), (RANDOM, "SHiRA random, r=8"), (FULL, "full"), (Cell("lora"), "LoRA")]
)
def test_a_cell_has_a_name(cell: Cell, label: str) -> None:
    assert cell.label == label


# ---- the log --------------------------------------------------------------------------------------------------------


def test_a_log_gives_back_the_grid_of_full_tuning(tmp_path: Path) -> None:
    protocol = replace(PROTOCOL, full_learning_rates=(0.001, 0.003))
    begin_log(tmp_path / "runs.jsonl", protocol)
    assert read_log(tmp_path / "runs.jsonl").protocol == protocol


def test_a_log_gives_back_equal_runs(tmp_path: Path) -> None:
    comparison, log = a_comparison(), tmp_path / "runs.jsonl"
    assert begin_log(log, PROTOCOL).runs == ()
    for run in comparison.runs:
        append_run(log, run)
    assert read_log(log) == begin_log(log, PROTOCOL) == comparison


def test_a_log_is_not_gone_on_with_under_another_protocol(tmp_path: Path) -> None:
    log = tmp_path / "runs.jsonl"
    begin_log(log, PROTOCOL)
    with pytest.raises(ConfigError) as error:
        begin_log(log, replace(PROTOCOL, steps=3))
    assert str(error.value) == f"{log} was begun under another protocol. Choose another file, or delete this one."


@pytest.mark.parametrize("content", ["", "[]\n", '{"steps": 3}\n', "{\n"])
def test_another_file_is_not_taken_for_a_log(content: str, tmp_path: Path) -> None:
    log = tmp_path / "runs.jsonl"
    log.write_text(content)
    with pytest.raises(StorageError, match="is not the log of a comparison"):
        read_log(log)


def test_finished_runs_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Cell, float, int]] = []

    def pretend(cell: Cell, protocol: Protocol, rate: float, seed: int, **_: object) -> Run:
        asked.append((cell, rate, seed))
        if len(asked) == 5:
            raise KeyboardInterrupt
        return a_run(cell, rate, seed, 1.0 + abs(rate - 0.03))

    log = tmp_path / "runs.jsonl"
    monkeypatch.setattr(compare, "run_cell", pretend)
    monkeypatch.setattr("sys.argv", ["compare.py", str(log)])
    with pytest.raises(KeyboardInterrupt):
        compare.run_plan([LORA, FULL], PROTOCOL, "")
    compare.run_plan([LORA, FULL], PROTOCOL, "")
    assert asked[4] == asked[5]
    del asked[4]
    assert len(set(asked)) == len(asked) == 12
    assert read_log(log).cells == (LORA, FULL)
    assert {rate for _, rate, seed in asked if seed != PROTOCOL.tuning_seed} == {0.03}


# ---- one run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [Cell("shira", "gradient", 2), LORA, FULL], ids=lambda cell: cell.label)
def test_a_cell_runs_as_the_protocol_says(cell: Cell) -> None:
    run = run_cell(cell, PROTOCOL, 0.003, seed=0, on_event=lambda _: None)
    assert (run.cell, run.learning_rate, run.seed, run.status) == (cell, 0.003, 0, "finished")
    assert [point.step for point in run.points] == [0, 1, 2]
    assert all(point.reference is not None for point in run.points)
    assert set(run.consistency) == set(get_world("sea").checks)
    assert len(run.ranks) == 6
    assert Run.from_dict(json.loads(json.dumps(run.to_dict()))) == run


def test_a_run_is_repeated_by_its_seed_and_measured_less_when_it_tunes() -> None:
    first, second = (run_cell(LORA, PROTOCOL, 0.003, seed=0, on_event=lambda _: None) for _ in range(2))
    assert replace(first, seconds=0.0) == replace(second, seconds=0.0)
    tuning = run_cell(LORA, PROTOCOL, 0.003, PROTOCOL.tuning_seed, on_event=lambda _: None)
    assert [(point.step, point.reference) for point in tuning.points] == [(0, None), (2, None)]
    assert (tuning.ranks, tuning.consistency) == ((), {})


def test_controls_have_the_layers_and_the_positions_of_the_run() -> None:
    cell = Cell("shira", "row_col", 2)
    run, control = run_cell(cell, PROTOCOL, 0.003, 0, on_event=lambda _: None), control_ranks(cell, PROTOCOL, seed=0)
    assert [one.layer for one in control] == [one.layer for one in run.ranks]
    assert all(trained.rank <= one.rank <= 5 for trained, one in zip(run.ranks, control, strict=True))
    assert control == control_ranks(cell, replace(PROTOCOL, steps=1), seed=0)
    assert {one.rank for one in control_ranks(LORA, PROTOCOL, seed=0)} == {LORA.r}


# ---- what ships -----------------------------------------------------------------------------------------------------

SHIPS = shipped()
every_cell = pytest.mark.parametrize("cell", SHIPS.cells, ids=lambda cell: cell.label)


def test_the_shipped_runs_keep_to_the_protocol_of_today() -> None:
    assert SHIPS.protocol == Protocol()
    assert SHIPS.protocol.tuning_seed not in SHIPS.protocol.seeds and len(SHIPS.protocol.seeds) >= 3


def test_every_shipped_run_belongs_to_a_whole_cell_of_the_plan() -> None:
    assert {run.cell for run in SHIPS.runs} == set(SHIPS.cells) <= set(compare.cells())
    assert {cell.family for cell in SHIPS.with_budget(8)} == {cell.family for cell in compare.cells()}


def test_no_run_was_made_twice_and_none_was_left_out() -> None:
    keys = Counter((run.cell, run.learning_rate, run.seed) for run in SHIPS.runs)
    assert set(keys.values()) == {1}
    assert len(keys) == len(SHIPS.cells) * (len(SHIPS.protocol.learning_rates) + len(SHIPS.protocol.seeds))


@every_cell
def test_a_shipped_cell_was_tuned_over_the_whole_grid_and_repeated(cell: Cell) -> None:
    assert tuple(sorted(SHIPS.tuning(cell))) == SHIPS.protocol.learning_rates
    reported = SHIPS.reported(cell)
    assert [run.seed for run in reported] == list(SHIPS.protocol.seeds)
    evaluated = list(range(0, SHIPS.protocol.steps + 1, SHIPS.protocol.eval_every))
    assert all([point.step for point in run.points] == evaluated for run in reported)


@every_cell
def test_shipped_counts_are_possible(cell: Cell) -> None:
    for run in SHIPS.reported(cell):
        assert all(0 <= right <= checked <= SHIPS.protocol.samples for right, checked in run.consistency.values())
        assert all(layer.stable_rank <= layer.effective_rank <= layer.rank for layer in run.ranks)
        if cell.method == "lora":
            assert all(layer.rank <= run.cell.r for layer in run.ranks)


@every_cell
def test_shipped_cells_spent_their_budget(cell: Cell) -> None:
    shapes = [(192, 192)] * 4 + [(768, 192), (192, 768)]  # of a block of the embedded model, which has four
    expected = 4 * sum(num_params(cell.r, shape) for shape in shapes) if cell.r else 2_028_864
    assert {run.trainable for run in SHIPS.runs if run.cell == cell} == {expected}


def test_what_ships_is_light_and_uses_masks_that_exist() -> None:
    import shira_lab.course.comparison

    assert (Path(shira_lab.course.comparison.__file__).parent / SHIPPED).stat().st_size < 300_000
    assert {cell.mask_type for cell in SHIPS.cells if cell.mask_type} <= set(mask_types())


# ---- figures --------------------------------------------------------------------------------------------------------


def test_the_figure_of_seeds_shows_every_seed_and_the_mean_of_each_cell() -> None:
    figure = seeds_figure(a_comparison())
    points, means = figure.data[0], figure.data[1]
    assert sorted(points.x) == sorted(SEEDS[LORA] + SEEDS[RANDOM])
    assert dict(zip(means.text, means.x, strict=True))["LoRA, r=8"] == pytest.approx(np.mean(SEEDS[LORA]))
    assert means.error_x.array[0] == pytest.approx(np.std(SEEDS[LORA], ddof=1))
    rows = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    assert rows == {"full": 2, "SHiRA random": 1, "LoRA": 0}  # the best on top
    assert figure.layout.xaxis.title.text == "final excess (nats/token)"


def test_the_figure_of_forgetting_follows_training_from_its_first_moment() -> None:
    figure = forgetting_figure(a_comparison(), r=8)
    lora = next(trace for trace in figure.data if trace.name == "LoRA")
    assert list(lora.x) == pytest.approx([8.0, 4.0, np.mean(SEEDS[LORA])])
    assert list(lora.y) == pytest.approx([0.1, 2.1, 3.1])
    assert lora.text == ("LoRA, r=8, step 0", "LoRA, r=8, step 1", "LoRA, r=8, step 2")


def test_the_figure_of_tuning_leaves_out_what_diverged_and_marks_the_best() -> None:
    lora = next(trace for trace in tuning_figure(a_comparison(), r=8).data if trace.name == "LoRA")
    assert (lora.x, lora.y) == ((0.01, 0.03), (1.5, 0.8))
    assert lora.marker.size[1] > lora.marker.size[0]


def test_the_figure_of_ranks_puts_each_cell_at_its_rank_and_excess() -> None:
    figure = rank_against_excess_figure(a_comparison(), RANK)
    at = {trace.name: (trace.x[0], trace.y[0]) for trace in figure.data}
    assert at["LoRA"] == (7, pytest.approx(np.mean(SEEDS[LORA])))
    assert at["SHiRA random"][0] == 191
    colours = [trace.line.color for trace in figure.data]
    assert len(set(colours)) == len(colours)
