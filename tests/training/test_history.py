"""Settings say at once what cannot work, and a history survives its file."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shira_lab.errors import ConfigError, StorageError
from shira_lab.training.history import EvalPoint, History, PicturePoint, RankPoint, SamplePoint, StepPoint, SwapPoint
from shira_lab.training.settings import Settings
from shira_lab.training.ways import WAYS

numbers = st.floats(allow_nan=False, allow_infinity=False)
steps = st.integers(0, 10**6)
settings = st.builds(
    Settings,
    model=st.text(),
    method=st.sampled_from(["shira", "lora", "full"]),
    r=st.integers(1, 64),
    target_modules=st.none() | st.text() | st.lists(st.text(), min_size=1).map(tuple),
    learning_rate=st.none() | st.floats(1e-6, 1.0),
    seed=st.none() | st.integers(0, 2**32 - 1),
    reference_world=st.none() | st.text(),
    mask_moves=st.sampled_from(["never", "rigl", "spiel", "random", "learned"]),
)
rank_points = st.builds(
    RankPoint,
    steps,
    st.text(),
    steps,
    numbers,
    numbers,
    st.lists(numbers, max_size=3).map(tuple),
    st.tuples(steps, steps),
)
histories = st.builds(
    History,
    settings=settings,
    trainable=steps,
    parameters=steps,
    status=st.sampled_from(["running", "finished", "stopped", "diverged"]),
    message=st.text(),
    steps=st.lists(st.builds(StepPoint, steps, numbers, numbers)),
    evals=st.lists(st.builds(EvalPoint, steps, numbers, numbers)),
    ranks=st.lists(rank_points),
    controls=st.lists(rank_points),
    pictures=st.lists(st.builds(PicturePoint, steps, st.text(), st.tuples(steps, steps), numbers, st.text())),
    samples=st.lists(st.builds(SamplePoint, steps, st.text(), st.text())),
    reference=st.lists(st.builds(EvalPoint, steps, numbers, numbers)),
    swaps=st.lists(st.builds(SwapPoint, steps, st.text(), *[steps] * 4, st.tuples(steps, steps), st.text())),
)


@given(histories)
def test_json_gives_back_an_equal_history(history: History) -> None:
    assert History.from_dict(json.loads(json.dumps(history.to_dict()))) == history


def test_a_file_gives_back_an_equal_history(tmp_path: Path) -> None:
    history = History(Settings(target_modules=("q_proj", "v_proj")), steps=[StepPoint(1, 2.5, 0.1)])
    history.save(tmp_path / "history.json")
    assert History.load(tmp_path / "history.json") == history


def test_excess_is_what_is_left_above_the_floor() -> None:
    assert math.isclose(EvalPoint(0, 2.5, 0.5).excess, 2.0)


def test_a_history_knows_its_last_step_and_its_layers() -> None:
    history = History(Settings())
    assert (history.step, history.seconds, history.layers) == (0, 0.0, [])
    history.steps += [StepPoint(1, 3.0, 0.5), StepPoint(2, 2.0, 1.0)]
    history.ranks += [RankPoint(step, layer, 1, 1.0, 1.0, (1.0,), (4, 3)) for step in (0, 2) for layer in ("b", "a")]
    assert (history.step, history.seconds, history.layers) == (2, 1.0, ["b", "a"])
    assert [point.step for point in history.ranks_of("a")] == [0, 2]
    assert [(point.step, point.layer) for point in history.last_ranks] == [(2, "b"), (2, "a")]
    assert History(Settings()).last_ranks == []


@pytest.mark.parametrize(
    ("method", "label"),
    [("shira", "SHiRA magnitude, r=8"), ("lora", "LoRA, r=8"), ("full", "full")],
)
def test_a_run_has_a_name_for_legends(method: str, label: str) -> None:
    assert Settings(method=method).label == label


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("method", "vera", f"`method` should be one of shira, lora, full, {', '.join(WAYS)}; got 'vera'."),
        ("steps", 0, "`steps` should be a positive integer; got 0."),
        ("batch_size", 2.5, "`batch_size` should be a positive integer; got 2.5."),
        ("r", True, "`r` should be a positive integer; got True."),
        ("learning_rate", -1.0, "`learning_rate` should be None or a positive number; got -1.0."),
        ("learning_rate", math.nan, "`learning_rate` should be None or a positive number; got nan."),
        ("seed", -1, "`seed` should be None or an integer in [0, 2**32); got -1."),
    ],
)
def test_settings_that_cannot_work_are_named(field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Settings(**{field: value})
    assert str(error.value) == message


@pytest.mark.parametrize(
    "change",
    [lambda content: content.pop("steps"), lambda content: content.update(colour="red")],
    ids=["missing field", "unknown field"],
)
def test_another_json_is_not_taken_for_a_history(change: object, tmp_path: Path) -> None:
    content = History(Settings()).to_dict()
    change(content)
    (tmp_path / "history.json").write_text(json.dumps(content))
    with pytest.raises(StorageError, match="This is not the history of a run"):
        History.load(tmp_path / "history.json")
