"""The command line trains, reports, resumes, and says in one sentence what it cannot do."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from tiny_lm import save_tiny_lm

from shira_lab import PeftModel
from shira_lab.cli import main
from shira_lab.cli.finetune import _stop_on_interrupt
from shira_lab.models.hub import load_model
from shira_lab.training.history import History

SHORT = ["--steps", "2", "--batch-size", "2", "--eval-every", "1", "--r", "2", "--sample-tokens", "8"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_lm(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def finished(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was made by the command line."""
    folder = tmp_path_factory.mktemp("run")
    assert main(["finetune", "--model", str(model), "--mask", "snip", *SHORT, "--out", str(folder)]) == 0
    return folder


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.strip()


def test_a_run_leaves_an_adapter_its_history_and_a_report(finished: Path, model: Path) -> None:
    names = {"README.md", "adapter_config.json", "adapter_model.safetensors", "history.json", "report.html"}
    assert {file.name for file in finished.iterdir()} == names
    adapter = PeftModel.from_pretrained(load_model(model)[0], finished)
    assert adapter.peft_config["default"].mask_type == "snip"
    history = History.load(finished / "history.json")
    assert (history.status, history.step, history.settings.r) == ("finished", 2, 2)


def test_the_summary_shows_what_the_history_holds(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = ["--targets", "q_proj", "v_proj"]
    assert main(["finetune", "--model", str(model), "--method", "lora", *targets, *SHORT, "--out", str(tmp_path)]) == 0
    out, history = capsys.readouterr().out, History.load(tmp_path / "history.json")
    rows = dict(re.findall(r"^(\w[\w ]*?) {2,}(.*)$", out, re.MULTILINE))
    assert rows["method"] == "LoRA, r=2"
    assert rows["layers"] == "q_proj v_proj"
    assert rows["trainable parameters"].startswith(f"{history.trainable:,} (")
    assert history.trainable == 2 * 2 * 2 * (16 + 16)  # layers x targets x r(m + n)
    first, last = history.evals[0], history.evals[-1]
    assert rows["excess"] == f"{first.excess:.3f} before, {last.excess:.3f} after"
    assert rows["rank of the update"].startswith("2 (")
    assert rows["status"] == "finished"
    assert "\nbefore: Once there was" in out and "\nafter: Once there was" in out


def test_the_report_needs_no_network_and_shows_mask_curves_and_texts(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert page.count("/* Plotly.js") <= 1 < page.count("Plotly.newPlot(")
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="http', page)
    assert page.count('<img alt="The mask: ') == 1
    assert "<h3>Before</h3>" in page and "<h3>After</h3>" in page


def test_text_in_a_report_is_no_markup(model: Path, tmp_path: Path) -> None:
    prompt = ["--prompt", "<script>alert(1)</script>"]
    assert main(["finetune", "--model", str(model), *prompt, *SHORT, "--out", str(tmp_path)]) == 0
    assert "<script>alert(1)" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_whole_model_can_be_tuned_too(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "--model", str(model), "--method", "full", *SHORT, "--out", str(tmp_path)]) == 0
    bars = capsys.readouterr().err
    assert bars.startswith("Texts: stories of the world ") and " Estimated memory at the peak about " in bars
    assert "/2 [" in bars and "shards" not in bars  # ours, and none of transformers'
    load_model(tmp_path)
    assert "The mask: " not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_run_can_be_told_from(model: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate = ["generate", "--model", str(model), "--seed", "3"]
    assert main(generate) == 0
    base = capsys.readouterr().out
    assert main([*generate, "--adapter", str(finished)]) == 0
    adapted = capsys.readouterr().out
    assert base.startswith("Once there was") and adapted.startswith("Once there was")
    assert base != adapted


def test_a_resumed_run_takes_its_settings_from_its_folder(
    model: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ["finetune", "--model", str(model), "--mask", "snip", *SHORT, "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr("shira_lab.cli.finetune._stop_on_interrupt", lambda: nullcontext(lambda: True))
        assert main(start) == 0
    assert History.load(tmp_path / "history.json").status == "stopped"
    assert "`r` is 3, but the run was started with 2." in refusal(capsys, *start, "--r", "3")
    resume = ["finetune", "--resume", "--out", str(tmp_path)]
    assert refusal(capsys, *resume, "--lr", "0.5").startswith(
        "shira-lab: `learning_rate` is 0.5, but the run was started"
    )
    assert main(resume) == 0
    assert History.load(tmp_path / "history.json").status == "finished"
    weights = "adapter_model.safetensors"
    assert (tmp_path / weights).read_bytes() == (finished / weights).read_bytes()


def test_a_result_is_replaced_only_when_that_is_asked_for(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", "--model", str(model), *SHORT, "--out", str(tmp_path)]
    assert main(command) == 0
    before = (tmp_path / "adapter_model.safetensors").read_bytes()
    assert refusal(capsys, *command, "--seed", "7") == (
        f"shira-lab: {tmp_path} holds a result already (adapter_config.json, history.json): choose another folder, or "
        "replace it with --overwrite."
    )
    assert (tmp_path / "adapter_model.safetensors").read_bytes() == before
    assert main([*command, "--seed", "7", "--overwrite"]) == 0
    assert (tmp_path / "adapter_model.safetensors").read_bytes() != before


def test_a_model_is_not_replaced_by_what_is_learned_from_it(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "finetune", "--model", model, "--method", "full", *SHORT, "--out", model)
    assert "holds a result already (config.json)" in said


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process in the background is started with interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_the_first_interrupt_asks_for_a_stop_and_the_second_interrupts() -> None:
    with _stop_on_interrupt() as should_stop:
        assert not should_stop()
        signal.raise_signal(signal.SIGINT)
        assert should_stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_seed_can_be_drawn(model: Path, tmp_path: Path) -> None:
    assert main(["finetune", "--model", str(model), "--seed", "-1", *SHORT, "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "history.json").read_text())["settings"]["seed"] >= 0


def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finetune = ["finetune", "--model", model, "--out", tmp_path / "run"]
    assert "there is no world 'mars'" in refusal(capsys, *finetune, "--world", "mars")
    assert "`steps` should be a positive integer; got 0." in refusal(capsys, *finetune, "--steps", "0")
    assert "Target modules ['q_prj'] not found" in refusal(capsys, *finetune, "--targets", "q_prj")
    assert "no checkpoint" in refusal(capsys, *finetune, "--resume")
    assert "adapter_config.json" in refusal(capsys, "generate", "--model", model, "--adapter", tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [[], ["lab"], ["finetune"], ["generate"], ["fuse"], ["inspect"]])
def test_help_is_there_for_every_command(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([*command, "--help"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out.startswith("usage: shira-lab")
