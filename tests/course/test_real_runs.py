"""The runs of the real model that ship: they keep to their plans, and the default learning rates follow from them."""

from collections import Counter
from importlib.resources import files

import compare_real
import fuse_real
import pytest
import record_real

from shira_lab.course.comparison.log import REAL, shipped
from shira_lab.course.comparison.records import Cell
from shira_lab.course.fusion import log as fusion_log
from shira_lab.course.fusion.records import Pair
from shira_lab.course.recorded import recorded
from shira_lab.training.methods import MEDIUM_LEARNING_RATES
from shira_lab.training.settings import Settings

RACE = shipped(REAL)
STUDY = fusion_log.shipped(fusion_log.REAL)


def test_the_race_keeps_to_its_plan_and_no_run_was_made_twice() -> None:
    assert RACE.protocol == compare_real.PROTOCOL
    assert {run.cell for run in RACE.runs} <= set(compare_real.cells())
    assert RACE.protocol.tuning_seed not in RACE.protocol.seeds
    assert set(Counter((run.cell, run.learning_rate, run.seed) for run in RACE.runs).values()) == {1}


def test_lora_and_two_masks_are_whole_and_none_took_a_rate_at_the_edge() -> None:
    assert {cell.family for cell in RACE.cells} >= {"LoRA", "SHiRA random", "SHiRA magnitude"}
    assert [cell.label for cell in RACE.cells if RACE.at_edge(cell)] == []
    assert len({run.trainable for run in RACE.runs if run.cell.method != "full"}) == 1


def test_default_rates_are_the_next_smaller_ones_of_the_grid() -> None:
    rates = RACE.protocol.learning_rates
    masks = {RACE.best_rate(Cell("shira", mask_type, 8)) for mask_type in ("random", "magnitude")}
    assert [rates[rates.index(best) - 1] for best in masks] == [MEDIUM_LEARNING_RATES["shira"]]
    assert rates[rates.index(RACE.best_rate(Cell("lora", r=8))) - 1] == MEDIUM_LEARNING_RATES["lora"]


@pytest.mark.parametrize("settings", record_real.RUNS, ids=lambda settings: settings.world)
def test_a_recorded_run_has_the_settings_of_its_script_and_learned(settings: Settings) -> None:
    history = recorded(settings.world)
    assert history.settings == settings and history.status == "finished"
    assert history.evals[-1].loss < history.evals[0].loss - 0.1
    assert bool(history.evals[-1].floor) == (settings.world == "sea")
    assert all(point.rank <= min(point.shape) for point in history.ranks)


def test_what_is_recorded_is_light() -> None:
    folder = files("shira_lab.course.recorded")
    assert sum(len((folder / f"{one.world}.json").read_bytes()) for one in record_real.RUNS) < 60_000


def test_the_study_of_fusing_is_whole_and_keeps_to_its_plan() -> None:
    assert STUDY.protocol == fuse_real.PROTOCOL and set(STUDY.pairs) == set(fuse_real.PAIRS)
    assert len(STUDY.runs) == len(fuse_real.PAIRS) * len(STUDY.protocol.seeds)
    assert all(tuple(fused.scale for fused in run.fused) == STUDY.protocol.scales for run in STUDY.runs)


def test_the_fused_adapters_are_of_one_strength() -> None:
    alone = [excess for run in STUDY.runs for excess in run.alone]
    assert max(alone) <= STUDY.protocol.target and max(alone) - min(alone) <= 0.1


def test_both_random_pairs_of_a_seed_have_the_first_adapter_in_common_and_their_masks_are_as_named() -> None:
    others, disjoint = (STUDY.of(Pair("random", second)) for second in ("other seed", "disjoint"))
    assert [run.alone[0] for run in others] == [run.alone[0] for run in disjoint]
    assert all((run.shared.overlap_share, run.shared.inner) == (0, 0) for run in disjoint)
    # Layers of one shape draw the same positions from one seed, so that chance has four draws to even out, not 210.
    assert all(run.shared.overlap_share == pytest.approx(run.shared.expected_share, rel=0.1) for run in others)
    assert all(run.shared.overlap_share == 1 for run in STUDY.of(Pair("magnitude", "same weights")))
