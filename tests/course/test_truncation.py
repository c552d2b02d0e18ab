"""The loss of an update that keeps its strongest directions runs from the model before training to that after."""

import dataclasses

import pytest
from tiny_lm import tiny_lm, tokenizer

from shira_lab.course.truncation import excess_by_rank
from shira_lab.errors import ShiraError
from shira_lab.training.finetune import finetune
from shira_lab.training.finetuned import Finetuned
from shira_lab.training.settings import Settings

SHORT = Settings(model="tiny", steps=4, batch_size=2, eval_every=4, eval_stories=2, sample_tokens=8, r=2)


def run(method: str) -> Finetuned:
    settings = dataclasses.replace(SHORT, method=method, learning_rate=0.1)
    return finetune(tiny_lm(), tokenizer(), settings, on_event=lambda _: None)


@pytest.mark.parametrize("method", ["shira", "lora"])
def test_no_direction_is_the_model_before_and_all_of_them_the_model_after(method: str) -> None:
    tuned = run(method)
    before, after = (point.excess for point in tuned.history.evals)
    most = max(point.rank for point in tuned.history.ranks)
    found = excess_by_rank(tuned, (0, 1, 2, most))
    assert found[0] == pytest.approx(before, abs=1e-4) != pytest.approx(after, abs=1e-4)
    assert found[most] == pytest.approx(after, abs=1e-4)
    if method == "lora":
        assert found[SHORT.r] == found[most]
    else:
        assert found[1] != pytest.approx(after, abs=1e-4)


def test_the_run_stays_as_it_is() -> None:
    tuned = run("shira")
    text = tuned.before_and_after()
    excess_by_rank(tuned, [1])
    assert tuned.before_and_after() == text


def test_a_run_without_an_adapter_is_refused() -> None:
    with pytest.raises(ShiraError) as error:
        excess_by_rank(run("full"), [1])
    assert str(error.value) == "`run` has the method 'full' and no adapter; expected 'shira' or 'lora'."
