"""The stop button of a notebook raises KeyboardInterrupt wherever Python happens to be: the model works on, whole.

Here it is raised at every 13th line, call or return; at all of them with

    SHIRA_LAB_STRIDE=1 python -m pytest tests/layers/test_interrupts.py
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from jupyter_client.manager import KernelManager
from tiny import MLP, same_bits, snapshot
from tiny_lm import save_tiny_lm, tiny_lm, tokenizer
from torch import nn
from traitlets.config import Config

import shira_lab
from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.adapters.config import AdapterConfig
from shira_lab.course.widgets import FineTuneLab
from shira_lab.errors import AdapterError
from shira_lab.layers import AdapterLayer, product, sampled
from shira_lab.training.finetune import finetune
from shira_lab.training.settings import Settings

#: An interrupt in a generator that is being thrown away is one that nobody sees.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PACKAGE = str(Path(shira_lab.__file__).parent)
X = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
STRIDE = int(os.environ.get("SHIRA_LAB_STRIDE", "13"))
SHORT = Settings(r=2, steps=3, eval_every=2, batch_size=2, eval_stories=2, sample_tokens=4, learning_rate=0.01)


# ---- between any two lines of the package ----------------------------------------------------------------------------


@contextmanager
def interrupted_after(events: int, counted: Callable[[str], bool]) -> Iterator[list[int]]:
    """Raise KeyboardInterrupt when so many lines, calls and returns of the files that are counted have gone by."""
    seen = [0]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not counted(frame.f_code.co_filename):
            return None
        seen[0] += 1
        if seen[0] == events:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield seen
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)


def in_layers(file: str) -> bool:
    return file.startswith(f"{PACKAGE}/layers")


def in_package(file: str) -> bool:
    return file.startswith(PACKAGE)


def steps(model: PeftModel, optimizer: torch.optim.Optimizer, count: int = 2) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        model(X).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        model(X)


def trainable(model: PeftModel) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 0.1)


def every_event(counted: Callable[[str], bool], work: Callable[[], object]) -> int:
    with interrupted_after(-1, counted) as seen:
        work()
    return seen[0]


@pytest.mark.parametrize("second", [None, ShiraConfig(1, ["lin1", "lin2"], random_seed=1), LoraConfig(1, ["lin1"])])
def test_training_can_be_interrupted_between_any_two_lines_of_the_layers(second: AdapterConfig | None) -> None:
    """Afterwards the model trains on, agrees with a fresh one of the same values, and gives its base weights back."""

    def fresh() -> tuple[nn.Module, PeftModel]:
        torch.manual_seed(0)
        base = MLP()
        model = get_peft_model(base, ShiraConfig(1, "all-linear", random_seed=0))
        if second:
            model.add_adapter("second", second.copy())
            model.set_adapter(["default", "second"])
        return base, model

    torch.manual_seed(0)
    untouched = MLP()
    bare = snapshot(untouched)
    _, model = fresh()
    lines = every_event(in_layers, lambda: steps(model, trainable(model)))
    assert lines > 300
    for line in range(1, lines, STRIDE):
        base, model = fresh()
        with interrupted_after(line, in_layers):
            steps(model, trainable(model))
        steps(model, trainable(model), 1)
        _, again = fresh()
        shira_lab.set_peft_model_state_dict(again, shira_lab.get_peft_model_state_dict(model))
        if second:
            state = shira_lab.get_peft_model_state_dict(model, "second")
            shira_lab.set_peft_model_state_dict(again, state, "second")
        with torch.no_grad():
            assert torch.equal(model(X), again(X)), line
            with model.disable_adapter():
                assert torch.equal(base(X), untouched(X)), line
        assert same_bits(snapshot(model.unload()), bare), line


def test_attaching_can_be_interrupted_between_any_two_lines() -> None:
    config = ShiraConfig(1, "all-linear", random_seed=0)
    lines = every_event(in_package, lambda: get_peft_model(MLP(), config))
    for line in range(1, lines - 2, STRIDE):  # the last two are those of its ``return``
        base = MLP()
        bare = snapshot(base)
        with interrupted_after(line, in_package):
            get_peft_model(base, config)
        if not any(isinstance(module, AdapterLayer) for module in base.modules()):
            assert same_bits(snapshot(base), bare), line
            get_peft_model(base, config)
        assert all(isinstance(base.get_submodule(f"lin{number}"), AdapterLayer) for number in range(3)), line


@pytest.mark.parametrize("verb", ["merge_adapter", "unmerge_adapter", "unload", "set_adapter", "delete_adapter"])
def test_what_is_done_to_all_layers_can_be_interrupted_and_done_again(verb: str) -> None:
    def fresh() -> tuple[PeftModel, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        base = MLP()
        bare = snapshot(base)
        model = get_peft_model(base, ShiraConfig(1, "all-linear", random_seed=0))
        model.add_adapter("other", ShiraConfig(1, "all-linear", random_seed=1))
        steps(model, trainable(model), 1)
        if verb == "unmerge_adapter":
            model.merge_adapter()
        return model, bare

    arguments = ("other",) if verb in ("set_adapter", "delete_adapter") else ()
    model, _ = fresh()
    lines = every_event(in_package, lambda: getattr(model, verb)(*arguments))
    for line in range(1, lines, STRIDE):
        model, bare = fresh()
        with interrupted_after(line, in_package):
            getattr(model, verb)(*arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nothing is left to do
            if verb != "delete_adapter" or "other" in model.peft_config:
                getattr(model, verb)(*arguments)
        if model.peft_config:
            model(X)
        assert same_bits(snapshot(model.unload()), bare), line


# ---- in the middle of a step, in the library and in the lab ----------------------------------------------------------


class Interrupt:
    """Raises KeyboardInterrupt when called for the n-th time, and passes everything on before and after that."""

    def __init__(self, function: Callable[..., Any], at: int = 2) -> None:
        self.function, self.left = function, at

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return self.function(*args, **kwargs)


@pytest.fixture(params=["forward", "backward", "optimizer"])
def interrupt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "optimizer":
        real = torch.optim.AdamW.step
        hit = Interrupt(real)
        monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, *args, **kwargs: hit(self, *args, **kwargs))
    elif request.param == "backward":
        monkeypatch.setattr("shira_lab.layers.product.sampled_product", Interrupt(sampled.sampled_product, 15))
    else:
        monkeypatch.setattr("shira_lab.layers.layer.product", Interrupt(product.product, 15))


def hooks(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


@pytest.mark.usefixtures("interrupt")
def test_an_interrupted_run_leaves_the_model_bare_and_the_next_one_is_as_if_nothing_had_been() -> None:
    model, undisturbed = tiny_lm(), tiny_lm()
    bare, hooked = snapshot(model), hooks(model)
    with pytest.raises(KeyboardInterrupt):
        finetune(model, tokenizer(), SHORT, on_event=lambda _: None)
    assert same_bits(snapshot(model), bare) and hooks(model) == hooked and not model.training
    found, expected = (
        finetune(one, tokenizer(), SHORT, on_event=lambda _: None).history for one in (model, undisturbed)
    )
    assert [point.loss for point in found.steps] == [point.loss for point in expected.steps]


@pytest.mark.usefixtures("interrupt")
def test_the_labs_run_button_works_after_an_interrupt(tmp_path: Path) -> None:
    lab = FineTuneLab(model=str(save_tiny_lm(tmp_path)), r=2, steps=3, eval_every=2, batch_size=2, learning_rate=0.01)
    lab.run_button.click()
    with pytest.raises(KeyboardInterrupt):
        lab.wait()
    assert not lab.run_button.disabled and lab.stop_button.disabled and lab.save_button.disabled
    lab.run_button.click()
    assert lab.wait().history.status == "finished" and "Finished after 3 steps" in lab.status.value
    lab.adapter_off.value = True
    assert "identical: True" in lab.checked.value
    lab.close()


def test_an_interrupted_wait_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = FineTuneLab(model=str(save_tiny_lm(tmp_path)), r=2, steps=500, batch_size=2, learning_rate=0.01)
    lab.run()
    assert lab._worker is not None
    result = lab._worker._future.result
    monkeypatch.setattr(lab._worker._future, "result", Interrupt(result, 1))
    with pytest.raises(KeyboardInterrupt):
        lab.wait()
    assert lab.wait().history.status == "stopped"
    lab.close()


# ---- in a real kernel ------------------------------------------------------------------------------------------------

CELLS = {
    "begin": """
        import sys, torch
        sys.path.insert(0, {tests!r})
        from tiny_lm import tiny_lm, tokenizer
        from shira_lab.training.finetune import finetune
        from shira_lab.training.settings import Settings
        from shira_lab.course.widgets import FineTuneLab
        torch.set_num_threads(1)
        model, settings = tiny_lm(), Settings(r=2, steps=100000, eval_every=50000, batch_size=2, learning_rate=0.01)
        before = {{name: value.clone() for name, value in model.state_dict().items()}}
        said = lambda history: print("training" if history.steps else "measuring", flush=True)
    """,
    "train": "finetune(model, tokenizer(), settings, on_event=said)",
    "whole": """
        after = model.state_dict()
        assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
        short = Settings(r=2, steps=2, batch_size=2, learning_rate=0.01)
        assert finetune(model, tokenizer(), short, on_event=lambda _: None).history.status == "finished"
    """,
    "run": """
        lab = FineTuneLab(model={model!r}, r=2, steps=100000, eval_every=50000, batch_size=2, learning_rate=0.01)
        lab.run()
        show = lab._show
        lab._show = lambda history: (show(history), history.steps and print("training", flush=True))
        await lab.finished()
    """,
    "again": """
        stopped = (await lab.finished()).history.status
        assert stopped == "stopped", stopped
        lab.steps = 2
        lab.run()
        assert (await lab.finished()).history.status == "finished"
    """,
}


def test_the_stop_button_of_a_real_notebook_interrupts_a_step(tmp_path: Path) -> None:
    names = {"tests": str(Path(__file__).parents[1]), "model": str(save_tiny_lm(tmp_path / "tiny"))}
    manager = KernelManager(kernel_name="python3", config=Config(KernelManager={"transport_encryption": "auto"}))
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)

    def run(cell: str, interrupt: bool = False) -> str:
        """Run a cell, interrupted at its first sign of training; returns the name of its error."""
        waiting = [interrupt]

        def heard(message: dict[str, Any]) -> None:
            if waiting[0] and "training" in message["content"].get("text", ""):
                waiting[0] = False
                manager.interrupt_kernel()

        code = "\n".join(line[8:] if line[:8].isspace() else line for line in CELLS[cell].format(**names).splitlines())
        reply = client.execute_interactive(code, allow_stdin=False, timeout=120, output_hook=heard)
        assert not waiting[0]
        return json.dumps(reply["content"].get("traceback")) if interrupt else reply["content"].get("evalue", "")

    try:
        assert run("begin") == ""
        assert "KeyboardInterrupt" in run("train", interrupt=True)
        assert run("whole") == ""
        assert "Error" in run("run", interrupt=True)
        assert run("again") == ""
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


# ---- cells twice and out of order ------------------------------------------------------------------------------------


def test_attaching_twice_is_refused_in_a_sentence_and_the_first_adapter_stays() -> None:
    base = MLP()
    model = get_peft_model(base, ShiraConfig(1, "all-linear", random_seed=0))
    steps(model, trainable(model), 1)
    with torch.no_grad():
        before = model(X)
    for again in (base, model):
        with pytest.raises(AdapterError, match="This model has adapters already; use `add_adapter` on it, or `unload`"):
            get_peft_model(again, ShiraConfig(1, "all-linear"))
    with torch.no_grad():
        assert torch.equal(model(X), before)


def test_fine_tuning_twice_is_refused_in_a_sentence_and_the_first_result_stays() -> None:
    model = tiny_lm()
    first = finetune(model, tokenizer(), SHORT, on_event=lambda _: None)
    before = snapshot(first.model)
    with pytest.raises(
        AdapterError, match="This model carries an adapter already; call `unload\\(\\)` on its PeftModel"
    ):
        finetune(model, tokenizer(), SHORT, on_event=lambda _: None)
    assert same_bits(snapshot(first.model), before)
    first.model.unload()
    assert finetune(model, tokenizer(), SHORT, on_event=lambda _: None).history.steps[0].loss == pytest.approx(
        first.history.steps[0].loss
    )


def test_changing_r_after_training_changes_nothing_until_an_adapter_is_made_of_it() -> None:
    config = ShiraConfig(1, ["lin1"], random_seed=0)
    model = get_peft_model(MLP(), config)
    steps(model, trainable(model), 1)
    before = snapshot(model)
    config.r = 5
    model(X)
    assert same_bits(snapshot(model), before) and model.peft_config["default"].r == 1
    with pytest.raises(AdapterError, match="The new mask has 80 positions; adapter 'default' has 40 values"):
        model.set_mask("default", ShiraConfig(2, ["lin1"], random_seed=0))
    assert same_bits(snapshot(model), before)


def test_deleting_the_adapter_in_use_leaves_a_model_that_works() -> None:
    base = MLP()
    with torch.no_grad():
        bare = base(X)
    model = get_peft_model(base, ShiraConfig(1, "all-linear", random_seed=0))
    steps(model, trainable(model), 1)
    model.delete_adapter("default")
    with torch.no_grad():
        assert torch.equal(model(X), bare)
    with pytest.raises(AdapterError, match="Adapter default does not exist: this model has none"):
        model.set_adapter("default")


def test_a_result_whose_adapter_was_deleted_is_a_sentence_in_the_lab(tmp_path: Path) -> None:
    lab = FineTuneLab(model=str(save_tiny_lm(tmp_path / "tiny")), r=2, steps=2, batch_size=2, learning_rate=0.01)
    lab.run()
    model = lab.wait().model
    assert isinstance(model, PeftModel)
    model.delete_adapter(model.active_adapter)
    lab.folder.value = str(tmp_path / "saved")
    lab.save_button.click()
    lab.reload_button.click()
    assert "color:#A33D00" in lab.checked.value  # said as an error
    lab.run_button.click()
    assert lab.wait().history.status == "finished"
    lab.close()


def test_two_tabs_show_one_app_and_both_follow(tmp_path: Path) -> None:
    """A notebook that is open twice shows the same widgets twice: there is one state, and one run."""
    lab = FineTuneLab(model=str(save_tiny_lm(tmp_path)), r=2, steps=500, batch_size=2, learning_rate=0.01)
    view = "application/vnd.jupyter.widget-view+json"
    assert lab._still._view._repr_mimebundle_()[view] == lab._still._view._repr_mimebundle_()[view]
    lab.run_button.click()
    worker = lab._worker
    lab.run_button.click()  # from the other tab, where the button was not yet grey
    lab.save_button.click()
    assert lab._worker is worker and "There is no result yet" in lab.checked.value
    lab.stop_button.click()
    lab.stop_button.click()
    assert lab.wait().history.status == "stopped"
    lab.close()
