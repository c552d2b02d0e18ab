"""The study of fusing: fair pairs, numbers that add up, a log to go on with, and what ships keeps its word."""

import json
from dataclasses import replace
from pathlib import Path

import fuse
import pytest
import torch
from tiny import MLP, fill_randomly

from shira_lab import PeftModel, ShiraConfig
from shira_lab.adapters.lora_config import LoraConfig
from shira_lab.adapters.shelf import AdapterShelf
from shira_lab.analysis.inspection import adapter_interference
from shira_lab.analysis.interference import total
from shira_lab.course.figures import fused_over_scale_figure, growth_by_pair_figure, losses_figure, losses_svg
from shira_lab.course.fusion.blends import save_blends
from shira_lab.course.fusion.log import append_run, begin_log, read_log, shipped
from shira_lab.course.fusion.pair import shipped_pair
from shira_lab.course.fusion.records import PAIRS, Fused, FusionRun, Pair, Protocol, Shared
from shira_lab.course.fusion.results import Study
from shira_lab.course.fusion.run import configs, run_pair
from shira_lab.course.fusion.switching import SwitchTimes, switch_times
from shira_lab.course.fusion.train import train_to
from shira_lab.errors import ConfigError, ShiraError, StorageError
from shira_lab.models.hub import load_model
from shira_lab.training.worlds import get_world

LORA, SAME, OTHER, DISJOINT, MAGNITUDE, MAGNITUDE_DISJOINT = PAIRS
QUICK = Protocol(target=7.0, r=1, steps=30, batch_size=1, stories=2, scales=(0.5, 1.0), seeds=(0,))
SHARED = Shared(0.5, 0.1, inner=3.0, norms=(2.0, 6.0), awom=6.0, awom_spectral=5.0, awor=0.5, awor_predicted=0.6)


def a_run(pair: Pair, seed: int, fused: float = 3.0) -> FusionRun:
    """A run whose adapters have 0.7 and 0.9 alone, and ``fused`` on average when both are at full scale."""
    points = (Fused(0.5, (1.0, 2.0)), Fused(1.0, (fused - 1, fused + 1)))
    return FusionRun(pair, seed, (40, 50), (0.7, 0.9), (5.0, 6.0), points, SHARED, seconds=1.0)


def a_study() -> Study:
    protocol = replace(QUICK, seeds=(0, 1, 2))
    drops = {LORA: (2.0, 2.2, 2.1), OTHER: (3.0, 3.4, 3.2)}
    return Study(protocol, tuple(a_run(pair, seed, fused) for pair in drops for seed, fused in enumerate(drops[pair])))


# ---- the numbers ----------------------------------------------------------------------------------------------------


def test_the_drop_is_the_fused_mean_less_the_mean_of_each_alone() -> None:
    run = a_run(LORA, 0)
    assert run.single == pytest.approx(0.8)
    assert run.growth() == pytest.approx(3.0 - 0.8) and run.growth(0.5) == pytest.approx(1.5 - 0.8)


def test_cosine_and_relative_awom_are_free_of_the_size_of_the_updates() -> None:
    assert (SHARED.cosine, SHARED.relative_awom, SHARED.mean_norm) == (0.25, 0.5, 4.0)


def test_a_pair_counts_only_with_all_its_seeds() -> None:
    study = a_study()
    assert study.pairs == (LORA, OTHER)
    assert Study(study.protocol, study.runs[:-1]).pairs == (LORA,)
    assert study.fused(OTHER, 1.0).values == pytest.approx((3.0, 3.4, 3.2))
    assert study.best_scale(OTHER) == 0.5


def test_a_pair_has_a_name() -> None:
    assert [pair.label for pair in PAIRS] == [
        "LoRA",
        "SHiRA random, same seed",
        "SHiRA random, other seed",
        "SHiRA random, disjoint",
        "SHiRA magnitude",
        "SHiRA magnitude, disjoint",
    ]


def test_the_masks_of_a_pair_are_as_it_is_named() -> None:
    def overlap(pair: Pair) -> float:
        model = PeftModel(load_model()[0])
        for world, config in zip(QUICK.worlds, configs(pair, QUICK, seed=0), strict=True):
            model.add_adapter(world, config)
        return total(adapter_interference(model, *QUICK.worlds).values()).overlap_share

    assert [overlap(pair) for pair in (SAME, DISJOINT, MAGNITUDE, MAGNITUDE_DISJOINT)] == [1, 0, 1, 0]
    assert 0 < overlap(OTHER) < 0.05


# ---- one run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [LORA, DISJOINT], ids=lambda pair: pair.family)
def test_a_pair_is_trained_to_the_target_and_measured_alone_and_fused(pair: Pair, tmp_path: Path) -> None:
    run = run_pair(pair, QUICK, 0, tmp_path)
    assert all(excess <= QUICK.target for excess in run.alone) and all(0 < steps <= QUICK.steps for steps in run.steps)
    assert [fused.scale for fused in run.fused] == list(QUICK.scales)
    assert FusionRun.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    if pair is DISJOINT:
        assert (run.shared.overlap_share, run.shared.inner) == (0, 0)
    again = run_pair(pair, QUICK, 0, tmp_path)  # from the trained adapters of the folder
    assert replace(again, seconds=run.seconds) == run


def test_a_target_out_of_reach_is_said() -> None:
    model, tokenizer = load_model()
    peft_model = PeftModel(model)
    peft_model.add_adapter("sea", LoraConfig(1, "all-linear"))
    peft_model.set_adapter("sea")
    how = {"learning_rate": 0.01, "steps": 1, "batch_size": 1, "stories": 1, "seed": 0, "first_look": 1}
    with pytest.raises(ShiraError, match=r"An excess of 0.1 nats/token on 'sea' was not reached in 1 steps; the last"):
        train_to(peft_model, tokenizer, get_world("sea"), 0.1, **how)


# ---- the log --------------------------------------------------------------------------------------------------------


def test_a_log_gives_back_equal_runs_and_is_not_gone_on_with_under_another_protocol(tmp_path: Path) -> None:
    study, log = a_study(), tmp_path / "runs.jsonl"
    assert begin_log(log, study.protocol).runs == ()
    for run in study.runs:
        append_run(log, run)
    assert read_log(log) == begin_log(log, study.protocol) == study
    with pytest.raises(ConfigError, match="was begun under another protocol"):
        begin_log(log, replace(study.protocol, steps=3))


@pytest.mark.parametrize("content", ["", "[]\n", '{"steps": 3}\n', "{\n"])
def test_another_file_is_not_taken_for_a_log(content: str, tmp_path: Path) -> None:
    log = tmp_path / "runs.jsonl"
    log.write_text(content)
    with pytest.raises(StorageError, match="is not the log of a study of fusing"):
        read_log(log)


def test_finished_runs_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Pair, int]] = []

    def pretend(pair: Pair, protocol: Protocol, seed: int, folder: Path) -> FusionRun:
        asked.append((pair, seed))
        if len(asked) == 4:
            raise KeyboardInterrupt
        return a_run(pair, seed)

    log, shipped_into = tmp_path / "runs.jsonl", []
    monkeypatch.setattr(fuse, "run_pair", pretend)
    monkeypatch.setattr(fuse, "ship", lambda adapters, folder, protocol: shipped_into.append(folder))
    monkeypatch.setattr("sys.argv", ["fuse.py", str(log), str(tmp_path / "adapters")])
    with pytest.raises(KeyboardInterrupt):
        fuse.main()
    fuse.main()
    assert asked[3] == asked[4]
    del asked[3]
    assert asked == [(pair, seed) for seed in Protocol().seeds for pair in PAIRS]
    assert read_log(log).pairs == PAIRS and shipped_into == [tmp_path / "adapters"]


# ---- what ships -----------------------------------------------------------------------------------------------------

SHIPS = shipped()


def test_the_shipped_study_is_whole_and_keeps_to_the_protocol_of_today() -> None:
    assert SHIPS.protocol == Protocol() and SHIPS.pairs == PAIRS
    assert len(SHIPS.runs) == len(PAIRS) * len(SHIPS.protocol.seeds) >= 18
    assert all(tuple(fused.scale for fused in run.fused) == SHIPS.protocol.scales for run in SHIPS.runs)


def test_all_shipped_adapters_are_of_one_strength() -> None:
    alone = [excess for run in SHIPS.runs for excess in run.alone]
    assert max(alone) <= SHIPS.protocol.target and max(alone) - min(alone) <= 0.05


def test_pairs_of_one_family_and_seed_have_the_first_adapter_in_common() -> None:
    firsts: dict[tuple[str, int], set[float]] = {}
    for run in SHIPS.runs:
        firsts.setdefault((run.pair.family, run.seed), set()).add(run.alone[0])
    assert all(len(values) == 1 for values in firsts.values())


def test_shipped_overlaps_are_those_of_the_masks() -> None:
    for run in SHIPS.runs:
        if run.pair in (SAME, MAGNITUDE):
            assert run.shared.overlap_share == 1
        elif run.pair in (DISJOINT, MAGNITUDE_DISJOINT):
            assert (run.shared.overlap_share, run.shared.inner) == (0, 0)


def test_the_shipped_pair_is_that_of_the_study_but_for_half_precision() -> None:
    model, _ = shipped_pair()
    assert tuple(model.peft_config) == SHIPS.protocol.worlds and model.active_adapters == []
    found = total(adapter_interference(model, *SHIPS.protocol.worlds).values())
    run = SHIPS.of(fuse.SHIPPED_PAIR)[0]
    assert found.norms == pytest.approx(run.shared.norms, rel=1e-3)
    assert found.awom == pytest.approx(run.shared.awom, rel=1e-3)


def test_what_ships_is_light() -> None:
    import shira_lab.course.fusion

    assert sum(file.stat().st_size for file in Path(shira_lab.course.fusion.__file__).parent.rglob("*.*")) < 600_000


# ---- blends and switches --------------------------------------------------------------------------------------------


def test_blends_go_from_the_first_adapter_to_the_second(tmp_path: Path) -> None:
    model = PeftModel(MLP())
    for seed, name in enumerate(("a", "b")):
        model.add_adapter(name, ShiraConfig(1, ["lin0"], random_seed=seed))
        fill_randomly(model, seed=seed, only=name)
    layer = model.get_base_model().lin0
    a, b = layer.get_delta_weight("a"), layer.get_delta_weight("b")
    names = save_blends(model, ["a", "b"], 5, tmp_path)
    assert names == ["01-a-100-b-0", "02-a-75-b-25", "03-a-50-b-50", "04-a-25-b-75", "05-a-0-b-100"]
    assert list(model.peft_config) == ["a", "b"]
    shelf = AdapterShelf(model, tmp_path)
    for number, name in enumerate(names):
        shelf.load(name)
        torch.testing.assert_close(layer.get_delta_weight(name), (1 - number / 4) * a + number / 4 * b)


def test_switches_are_timed_on_both_sides() -> None:
    times = switch_times(16, 16, r=1, repeats=4)
    assert times.shira > 0 and times.lora > 0
    assert SwitchTimes(shira=0.002, lora=0.006).ratio == pytest.approx(3)


# ---- figures --------------------------------------------------------------------------------------------------------


def test_the_figure_of_drops_has_the_smallest_on_top() -> None:
    figure = growth_by_pair_figure(a_study())
    assert figure.layout.yaxis.ticktext == ("SHiRA random, other seed", "LoRA")
    assert sorted(figure.data[0].x) == pytest.approx(sorted((1.2, 1.4, 1.3, 2.2, 2.6, 2.4)))
    assert list(figure.data[1].x) == pytest.approx([2.4, 1.3])


def test_the_figure_over_scales_shows_each_pair_and_the_adapters_alone() -> None:
    figure = fused_over_scale_figure(a_study())
    lora, other, alone = figure.data
    assert (lora.name, tuple(lora.x), list(lora.y)) == ("LoRA", (0.5, 1.0), pytest.approx([1.5, 2.1]))
    assert other.name == "SHiRA random, other seed"
    assert list(alone.y) == pytest.approx([0.8, 0.8])


def test_the_picture_of_losses_says_in_words_what_it_draws() -> None:
    now, before, alone, base = ({"sea": value, "space": value + 1} for value in (2.0, 3.0, 0.5, 8.0))
    svg = losses_svg(now, before, alone, base)
    assert "sea: now 2.00, before 3.00, its adapter alone 0.50, base model 8.00; space: now 3.00" in svg
    assert svg.count("<rect") == 4 and svg.count("<path") == 4
    figure = losses_figure(now, alone, base, "sea x 1, space x 1")
    assert [bar.name for bar in figure.data] == ["base model", "now: sea x 1, space x 1", "its adapter alone"]
    assert tuple(figure.data[1].y) == (2.0, 3.0)
