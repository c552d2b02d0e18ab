"""What is forgotten is followed beside what is learned, and changes nothing about the training."""

from dataclasses import replace

import pytest
from tiny_lm import tiny_lm, tokenizer

from shira_lab.training.corpus import find_corpus
from shira_lab.training.evaluate import story_loss
from shira_lab.training.finetune import finetune
from shira_lab.training.history import History
from shira_lab.training.settings import Settings
from shira_lab.training.worlds import get_world

SHORT = Settings(
    model="tiny", steps=4, batch_size=2, eval_every=2, eval_stories=2, sample_tokens=2, r=2, reference_world="meadow"
)


def run(settings: Settings = SHORT) -> History:
    return finetune(tiny_lm(), tokenizer(), settings, on_event=lambda _: None).history


def test_the_reference_is_measured_whenever_the_trained_world_is() -> None:
    history = run()
    assert [point.step for point in history.reference] == [point.step for point in history.evals] == [0, 2, 4]


def test_the_reference_is_the_loss_on_held_out_stories_of_that_world() -> None:
    stories = get_world("meadow").stories(SHORT.eval_stories, split="held-out")
    expected = story_loss(tiny_lm(), tokenizer(), stories)
    first = run().reference[0]
    assert (first.loss, first.floor) == pytest.approx((expected.loss, expected.floor))


def test_following_a_reference_changes_nothing_about_the_run() -> None:
    followed, alone = run(), run(replace(SHORT, reference_world=None))
    assert followed.evals == alone.evals
    assert [point.loss for point in followed.steps] == [point.loss for point in alone.steps]
    assert alone.reference == []


def test_a_reference_that_is_lost_altogether_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    sea = find_corpus(SHORT.world, tokenizer(), SHORT.max_length).held_out(SHORT.eval_stories)
    asked: list[str] = []

    def measured(_: object, rows: object, pad_token_id: int) -> tuple[float, int]:
        asked.append("sea" if rows == sea.rows else "meadow")
        lost = asked.count("meadow") == 2 and asked[-1] == "meadow"
        return (float("inf") if lost else 3.0), 10

    monkeypatch.setattr("shira_lab.training.probe.row_loss", measured)
    history = run()
    assert history.status == "diverged"
    assert history.message.startswith("The loss on the reference world after step 2 is inf: training has diverged")
    assert [point.step for point in history.evals] == [point.step for point in history.reference] == [0]
