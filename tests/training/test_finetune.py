"""Fine-tuning keeps its promises: same seed same numbers, resuming and stopping lose nothing, the base comes back."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny import layers, same_bits, snapshot, tiny_opt
from tiny_lm import tiny_lm, tokenizer
from transformers import OPTForCausalLM

from shira_lab import PeftModel, ShiraConfig, get_peft_model
from shira_lab.adapters.storage.save import adapter_tensors
from shira_lab.analysis.spectrum import spectrum
from shira_lab.errors import AdapterError, ConfigError, ShiraError, StorageError
from shira_lab.models.hub import load_model
from shira_lab.training.checkpoints import last_checkpoint
from shira_lab.training.control import control_weight
from shira_lab.training.evaluate import sample
from shira_lab.training.finetune import finetune
from shira_lab.training.finetuned import Finetuned
from shira_lab.training.history import EvalPoint, History
from shira_lab.training.methods import delta_weight, hyperparameters, make_trainable
from shira_lab.training.probe import Probe, watched
from shira_lab.training.recorder import Recorder
from shira_lab.training.settings import Settings
from shira_lab.training.stories import Stories
from shira_lab.training.worlds import get_world

METHODS = pytest.mark.parametrize("method", ["shira", "lora", "full"])
SHORT = Settings(model="tiny", steps=4, batch_size=2, eval_every=2, eval_stories=2, sample_tokens=8, r=2)


def run(settings: Settings = SHORT, model: OPTForCausalLM | None = None, **kwargs: object) -> Finetuned:
    return finetune(model or tiny_lm(), tokenizer(), settings, **{"on_event": lambda _: None, **kwargs})


def learned(finetuned: Finetuned) -> dict[str, torch.Tensor]:
    model = finetuned.model
    return adapter_tensors(model.base_model, "default") if isinstance(model, PeftModel) else model.state_dict()


def trained_numbers(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def without_times(history: History) -> History:
    steps = [dataclasses.replace(point, seconds=0.0) for point in history.steps]
    return dataclasses.replace(history, steps=steps)


class Crash(Exception):
    """The machine went away."""


@METHODS
def test_the_same_seed_gives_the_same_numbers(method: str) -> None:
    settings = dataclasses.replace(SHORT, method=method)
    first, second = run(settings), run(settings)
    assert same_bits(learned(first), learned(second))
    assert without_times(first.history) == without_times(second.history)


def test_another_seed_gives_another_mask_and_other_stories() -> None:
    first, second = (run(dataclasses.replace(SHORT, mask_type="random", steps=1, seed=seed)) for seed in (0, 1))
    assert first.history.steps[0].loss != second.history.steps[0].loss
    positions = [learned(finetuned) for finetuned in (first, second)]
    key = next(key for key in positions[0] if key.endswith("shira_indices"))
    assert not torch.equal(positions[0][key], positions[1][key])


def test_a_seed_that_was_drawn_is_recorded_and_repeats_the_run() -> None:
    drawn = run(dataclasses.replace(SHORT, mask_type="random", steps=2, seed=None))
    assert drawn.history.settings.seed is not None
    assert same_bits(learned(drawn), learned(run(drawn.history.settings)))


def test_a_mask_by_the_norms_of_inputs_is_calibrated_on_the_runs_texts() -> None:
    few, other = (run(dataclasses.replace(SHORT, mask_type="wanda", steps=1, seed=seed)) for seed in (0, 1))
    assert few.history.status == "finished"
    chosen = [torch.cat([layer.adapters["default"].positions for layer in layers(one.model)]) for one in (few, other)]
    assert not torch.equal(*chosen)


@pytest.mark.parametrize("method, mask_type", [("shira", "gradient"), ("lora", ""), ("full", ""), ("shira_dora", "")])
def test_a_run_that_crashed_resumes_bit_for_bit(method: str, mask_type: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(SHORT, method=method, mask_type=mask_type, steps=6)
    whole = run(settings)

    def crash() -> bool:
        if (tmp_path / "checkpoints/checkpoint-2").exists():
            raise Crash
        return False

    with pytest.raises(Crash):
        run(settings, output_dir=tmp_path, should_stop=crash)
    resumed = run(settings, output_dir=tmp_path, resume=True)
    assert same_bits(learned(whole), learned(resumed))
    assert without_times(whole.history) == without_times(resumed.history)


@METHODS
def test_stopping_keeps_what_was_learned_and_can_be_continued(method: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(SHORT, method=method, steps=6)
    asked: list[bool] = []

    def after_three() -> bool:
        asked.append(len(asked) == 2)
        return asked[-1]

    stopped = run(settings, output_dir=tmp_path, should_stop=after_three)
    assert (stopped.history.status, stopped.history.step, len(asked)) == ("stopped", 3, 3)
    assert stopped.history.evals[-1].step == 3
    assert any(delta_weight(stopped.model, stopped.base, path).any() for path in stopped.history.layers)
    continued = run(settings, output_dir=tmp_path, resume=True)
    assert (continued.history.status, continued.history.step) == ("finished", 6)
    assert same_bits(learned(continued), learned(run(settings)))


@METHODS
def test_the_base_model_comes_back_bit_for_bit(method: str) -> None:
    model = tiny_lm()
    weights, text = snapshot(model), sample(model, tokenizer(), max_new_tokens=SHORT.sample_tokens)[0]
    finetuned = run(dataclasses.replace(SHORT, method=method, learning_rate=0.5), model)
    assert finetuned.history.evals[-1].loss != finetuned.history.evals[0].loss  # there is something to take back
    before, after = finetuned.before_and_after()
    assert before == text
    assert after == sample(finetuned.model, tokenizer(), max_new_tokens=SHORT.sample_tokens)[0]
    with finetuned.before() as base:
        assert sample(base, tokenizer(), max_new_tokens=SHORT.sample_tokens)[0] == text
    bare = finetuned.model.unload() if isinstance(finetuned.model, PeftModel) else finetuned.base
    assert same_bits(snapshot(bare), weights)


def test_the_rank_of_shira_is_high_and_that_of_lora_is_r() -> None:
    for method, expected in (("shira", None), ("lora", SHORT.r), ("full", None)):
        history = run(dataclasses.replace(SHORT, method=method)).history
        first, last = ([p.rank for p in history.ranks if p.step == step] for step in (0, SHORT.steps))
        assert first == [0] * len(history.layers)
        assert all(rank == expected if expected else rank > 2 * SHORT.r for rank in last)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("shira", "scaling 1, values start at zero, learning rate 0.1"),
        ("lora", "lora_alpha 8 (scaling 1), A starts Kaiming-uniform and B at zero, learning rate 0.1"),
        ("full", "every weight starts as it is, learning rate 0.1"),
    ],
)
def test_a_recipe_says_how_a_method_starts(method: str, words: str) -> None:
    """In words what the adapter holds before the first step."""
    settings = Settings(method=method, learning_rate=0.1)
    assert hyperparameters(settings) == words
    if method == "full":
        return
    trained = make_trainable(tiny_lm(), settings, [])
    for name, parameter in trained.named_parameters():
        if parameter.requires_grad:
            assert parameter.any() == ("lora_A" in name)
    adapters = [layer.get_adapter("default") for _, layer in trained.base_model.adapter_layers()]
    assert {adapter.scaling for adapter in adapters} == {1.0}


@METHODS
def test_random_values_in_the_same_places_stand_beside_the_ranks(method: str) -> None:
    tuned = run(dataclasses.replace(SHORT, method=method))
    history = tuned.history
    assert [point.layer for point in history.controls] == history.layers
    for path in history.layers:
        update, control = delta_weight(tuned.model, tuned.base, path), control_weight(tuned.model, path)
        assert control.shape == update.shape
        if method == "shira":
            assert not control[update == 0].any() and control[update != 0].all()
        assert history.control_of(path).rank == (SHORT.r if method == "lora" else spectrum(control).rank)


def test_the_history_says_what_was_measured_and_when() -> None:
    events: list[int] = []
    history = run(dataclasses.replace(SHORT, steps=5), on_event=lambda h: events.append(h.step)).history
    assert [point.step for point in history.steps] == [1, 2, 3, 4, 5]
    assert [point.step for point in history.evals] == [0, 2, 4, 5]
    assert [point.step for point in history.samples] == [0, 2, 4, 5]
    assert history.settings.learning_rate is not None
    assert all(point.text.startswith(SHORT.prompt) for point in history.samples)
    assert events[0] == 0 and events[-1] == 5
    assert history.steps == sorted(history.steps, key=lambda point: point.seconds)


def test_the_first_loss_is_that_of_the_base_model_on_the_first_batch() -> None:
    model = tiny_opt(vocab_size=len(tokenizer()), max_position_embeddings=256, pad_token_id=0)
    stories = Stories(SHORT, tokenizer())
    batch = stories.collate([stories[index] for index in range(SHORT.batch_size)])
    with torch.no_grad():
        expected = model(**batch).loss.item()
    assert run(SHORT, model).history.steps[0].loss == pytest.approx(expected, rel=1e-6)


def test_the_floor_is_what_the_grammar_paid_for_the_held_out_stories() -> None:
    point = run(dataclasses.replace(SHORT, steps=1)).history.evals[0]
    stories = get_world("sea").stories(SHORT.eval_stories, split="held-out")
    tokens = sum(len(tokenizer()(story.text)["input_ids"]) for story in stories)  # bos makes room for eos
    assert point.floor == pytest.approx(sum(story.nats for story in stories) / tokens)


def test_no_story_is_told_twice_and_none_is_held_out() -> None:
    stories = Stories(dataclasses.replace(SHORT, steps=20), tokenizer())
    told = [tuple(stories[index]["input_ids"]) for index in range(len(stories))]
    held_out = {story.text for story in get_world("sea").stories(SHORT.eval_stories, split="held-out")}
    assert len(set(told)) == len(told) == 40
    assert not held_out & {tokenizer().decode(ids, skip_special_tokens=True) for ids in told}


@METHODS
def test_a_run_that_diverges_says_so_and_keeps_the_last_good_values(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good: dict[str, torch.Tensor] = {}

    def poison(recorder: Recorder, now: bool = False) -> None:
        if recorder.history.step == 2 and not good:
            trained = trained_numbers(recorder.probe.trained)
            good.update({name: parameter.detach().clone() for name, parameter in trained.items()})
            next(iter(trained.values())).data.fill_(float("nan"))

    monkeypatch.setattr(Recorder, "report", poison)
    settings = dataclasses.replace(SHORT, method=method, steps=6, learning_rate=0.03)
    finetuned = run(settings, output_dir=tmp_path)
    assert finetuned.history.status == "diverged"
    assert finetuned.history.message == (
        "The training loss of step 3 is nan: training has diverged and stopped; what was learned up to step 2 is kept. "
        "Try a smaller learning rate than 0.03, for instance 0.01."
    )
    assert same_bits(good, trained_numbers(finetuned.model))
    assert History.load(tmp_path / "history.json").status == "diverged"


def test_a_model_that_is_broken_from_the_start_is_a_run_that_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Probe, "loss", lambda probe, step: EvalPoint(step, float("nan"), 0.3))
    finetuned = run(dataclasses.replace(SHORT, learning_rate=0.03))
    assert finetuned.history.status == "diverged" and finetuned.history.evals == []
    assert finetuned.history.message.startswith("The held-out loss after step 0 is nan: training has diverged")


def test_a_checkpoint_of_an_adapter_holds_no_weights_of_the_model(tmp_path: Path) -> None:
    found: list[set[str]] = []

    def look(_: History) -> None:
        checkpoint = last_checkpoint(tmp_path)
        if checkpoint:
            found.append({file.name for file in checkpoint.iterdir()})

    result = run(dataclasses.replace(SHORT, steps=6), on_event=look, output_dir=tmp_path)
    assert {"adapter_model.safetensors", "adapter_config.json", "history.json", "optimizer.pt"} <= found[-1]
    assert not {"model.safetensors", "pytorch_model.bin"} & found[-1]
    assert {file.name for file in tmp_path.iterdir()} == {
        "README.md", "adapter_model.safetensors", "adapter_config.json", "history.json"
    }  # fmt: skip
    again = PeftModel.from_pretrained(tiny_lm(), tmp_path)
    assert same_bits(adapter_tensors(again.base_model, "default"), learned(result))


def test_a_fully_tuned_model_is_saved_so_that_it_loads_by_itself(tmp_path: Path) -> None:
    finetuned = run(dataclasses.replace(SHORT, method="full"), output_dir=tmp_path)
    again, _ = load_model(tmp_path)
    assert same_bits(snapshot(again), snapshot(finetuned.model))


def test_a_half_written_checkpoint_is_passed_over(tmp_path: Path) -> None:
    for step, state in ((2, "{}"), (4, '{"log_hist'), (10, None)):
        folder = tmp_path / f"checkpoints/checkpoint-{step}"
        folder.mkdir(parents=True)
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoints/checkpoint-2"


def test_what_cannot_be_done_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    def refusal(kind: type[ShiraError], settings: Settings = SHORT, **kwargs: object) -> str:
        with pytest.raises(kind) as error:
            run(settings, **kwargs)
        return str(error.value)

    assert refusal(ConfigError, resume=True) == (
        "`resume=True` needs the `output_dir` of the run that is to be continued."
    )
    assert refusal(StorageError, resume=True, output_dir=tmp_path) == (
        f"{tmp_path} holds no run that could be resumed: it has no checkpoint. Start it without resuming."
    )
    assert "there is no world 'mars'" in refusal(ShiraError, dataclasses.replace(SHORT, world="mars"))
    assert "The largest r for this shape is" in refusal(ConfigError, dataclasses.replace(SHORT, r=4000))
    run(output_dir=tmp_path, should_stop=lambda: True)
    assert refusal(StorageError, output_dir=tmp_path) == (
        f"{tmp_path} holds an unfinished run (checkpoint-1). Resume it, choose another folder, or delete "
        f"{tmp_path / 'checkpoints'}."
    )
    assert refusal(ConfigError, dataclasses.replace(SHORT, steps=9), output_dir=tmp_path, resume=True) == (
        "`steps` is 9, but the run was started with 4. Resume it with the settings it was started with, or start a new "
        "run in another folder."
    )


def test_a_model_that_carries_an_adapter_is_refused() -> None:
    model = tiny_lm()
    get_peft_model(model, ShiraConfig(r=2, random_seed=0))
    with pytest.raises(AdapterError, match="This model carries an adapter already; call `unload"):
        run(model=model)


def test_the_layers_that_are_watched_are_first_middle_and_last() -> None:
    paths = [
        f"decoder.layers.{n}.{name}" for n in range(12) for name in ("self_attn.k_proj", "self_attn.q_proj", "fc1")
    ]
    assert watched(paths) == [f"decoder.layers.{n}.{name}" for n in (0, 6, 11) for name in ("self_attn.k_proj", "fc1")]
    assert watched(["h.0.attn.c_attn"]) == ["h.0.attn.c_attn"]
    assert watched(["head.a", "head.b", "head.c"]) == ["head.a", "head.b"]
