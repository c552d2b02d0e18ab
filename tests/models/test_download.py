"""A hub that misbehaves gets a sentence, and never leaves half a file in the cache that is taken for a whole one."""

import io
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import HfApi, constants, file_download
from IPython.core.interactiveshell import InteractiveShell
from loopback_hub import COMMIT, LoopbackHub, loopback_hub
from tiny_lm import tiny_lm, tokenizer

from shira_lab.cli import main
from shira_lab.course.widgets import FineTuneLab
from shira_lab.errors import ShiraError
from shira_lab.models import download
from shira_lab.models.hub import INSTEAD, load_config, load_model
from shira_lab.training.history import History

NAME = "facebook/opt-125m"
NOT_HERE = f"'{NAME}' is neither a folder nor in the local cache, and "


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as opt-125m is published: float16, in PyTorch's own format, with what nobody here needs."""
    folder = tmp_path_factory.mktemp("published")
    model = tiny_lm().half()
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    tokenizer().save_pretrained(folder)
    (folder / "flax_model.msgpack").write_bytes(bytes(100_000))
    return folder


@pytest.fixture
def hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub with the model, and an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda seconds: None))  # before it tries again
    with loopback_hub() as server:
        server.models[NAME] = published
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def refusal() -> str:
    with pytest.raises(ShiraError) as error:
        load_model(NAME, on_progress=lambda done, total: None)
    said = str(error.value)
    assert said.startswith(NOT_HERE) and said.endswith(INSTEAD)
    return said.removeprefix(NOT_HERE).removesuffix(f". {INSTEAD}")


def test_the_loopback_hub_speaks_what_the_library_of_the_hub_understands(hub: LoopbackHub) -> None:
    info = HfApi(hub.address).model_info(NAME, files_metadata=True)
    weights = next(file for file in info.siblings or [] if file.rfilename == "pytorch_model.bin")
    assert info.sha == COMMIT
    assert weights.lfs is not None and weights.lfs.sha256 and weights.size == weights.lfs.size


def test_a_model_comes_once_in_float32_with_its_size_told_first(
    hub: LoopbackHub, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, words = load_model(NAME)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    expected = {name: value.float() for name, value in tiny_lm().half().state_dict().items()}
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert len(words) == len(tokenizer())
    assert set(hub.ranges) == {file.name for file in published.iterdir()} - {"flax_model.msgpack"}
    said = capsys.readouterr().err
    size = sum((published / name).stat().st_size for name in hub.ranges)
    assert said.startswith(f"Downloading {NAME} once: {size / 1000:.1f} kB from {hub.address}.\n") and "100%" in said
    hub.status = 503
    assert torch.equal(load_model(NAME)[0].lm_head.weight, model.lm_head.weight)
    assert all(len(asked) == 1 for asked in hub.ranges.values())


def test_the_configuration_alone_is_not_taken_for_the_model(hub: LoopbackHub) -> None:
    assert load_config(NAME).model_type == "opt"
    assert set(hub.ranges) == {"config.json"}
    assert load_model(NAME)[0].config.model_type == "opt"
    assert hub.ranges["config.json"] == [None]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "{hub} has no model of that name (404)"),
        (401, "{hub} refused (401): there is no such model, or it is private or asks for consent to its terms. If you "
              "have access, set HF_TOKEN"),
        (403, "{hub} refused (403): there is no such model, or it is private or asks for consent to its terms. If you "
              "have access, set HF_TOKEN"),
        (429, "{hub} was asked too often (429). Try again in a few minutes"),
        (500, "{hub} is in trouble itself (500). Try again later"),
        (503, "{hub} is in trouble itself (503). Try again later"),
        (418, "{hub} refused (418)"),
    ],
)  # fmt: skip
def test_a_refusal_is_explained(hub: LoopbackHub, status: int, said: str) -> None:
    hub.status = status
    assert refusal() == said.format(hub=hub.address)


def test_an_unknown_name_is_explained(hub: LoopbackHub) -> None:
    hub.models.clear()
    assert refusal() == f"{hub.address} has no model of that name (404)"


def test_what_is_no_hub_is_explained(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopback_hub.json.dumps", lambda content: "<html>Please log in</html>")
    assert refusal().startswith(f"what answers at {hub.address} does not speak the protocol of the hub (")


def test_a_hub_that_takes_a_request_and_stays_silent_is_given_up(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.3)
    hub.hang_at = "listing"
    assert refusal() == f"{hub.address} took a request and did not answer it in 0.3 s"


def test_a_hub_that_stops_in_the_middle_of_a_file_is_given_up(hub: LoopbackHub) -> None:
    hub.hang_at = "pytorch_model.bin"
    assert refusal() == f"{hub.address} stopped sending, for 0.3 s. Try again: the files that came whole are kept"
    came = set(hub.ranges)
    hub.hang_at = ""
    load_model(NAME, on_progress=lambda done, total: None)
    assert all(len(hub.ranges[name]) == 1 for name in came - {"pytorch_model.bin"})


def test_a_broken_connection_is_gone_on_from_at_once(hub: LoopbackHub) -> None:
    hub.break_at, hub.breaks = "pytorch_model.bin", 2
    shown: list[tuple[int, int]] = []
    load_model(NAME, on_progress=lambda done, total: shown.append((done, total)))
    assert len(hub.ranges["pytorch_model.bin"]) == 3
    assert shown == sorted(shown) and shown[0][0] == 0 and shown[-1][0] == shown[-1][1]


def test_half_a_file_is_never_taken_for_a_whole_one(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.break_at, hub.breaks = "pytorch_model.bin", 10**6
    assert re.fullmatch(
        r"the connection broke off after \S+ kB of the \S+ kB of pytorch_model.bin. Try again: the files that came "
        "whole are kept",
        refusal(),
    )
    assert not list((tmp_path / "cache").glob("*/snapshots/**/*.bin"))
    hub.breaks = 0
    model, _ = load_model(NAME, on_progress=lambda done, total: None)
    assert model.config.model_type == "opt"


def test_a_file_with_other_content_than_announced_is_thrown_away(hub: LoopbackHub, tmp_path: Path) -> None:
    for name in ("config.json", "pytorch_model.bin"):  # known by git's SHA-1, and by SHA-256
        hub.forged = name
        assert refusal() == f"{name} did not arrive as announced: its checksum is another one. Try again"
    hub.forged = ""
    assert load_model(NAME, on_progress=lambda done, total: None)


@pytest.mark.parametrize("tag", ["../../x", "..", "/etc/x"])
def test_a_tag_that_leads_out_of_the_cache_names_no_file(hub: LoopbackHub, tag: str) -> None:
    hub.tags["config.json"] = tag
    assert refusal().startswith(f"what answers at {hub.address} does not speak the protocol of the hub (")


@pytest.mark.parametrize("tag", ["", "5f3a-61c", "d41d8cd98f00b204e9800998ecf8427e-7"])
def test_a_mirror_that_lists_names_alone_gives_the_model(hub: LoopbackHub, tag: str) -> None:
    hub.names_alone = True
    hub.tags = {"config.json": tag and f"{tag}c", "pytorch_model.bin": tag}
    assert load_model(NAME, on_progress=lambda done, total: None)[0].config.model_type == "opt"


ASK = "from shira_lab.models.download import fetch; fetch({!r}, {!r}, list, lambda: lambda done, total: None)"


def in_processes(statement: str) -> list[int]:
    both = [subprocess.Popen([sys.executable, "-c", statement]) for _ in range(2)]
    return [one.wait(250) for one in both]


def in_threads(statement: str) -> list[int]:
    with ThreadPoolExecutor(2) as both:
        return [int(answer is not None) for answer in both.map(exec, [statement] * 2)]


@pytest.mark.parametrize("at_once", [in_processes, in_threads])
def test_two_that_ask_at_once_both_get_the_model(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: Callable[[str], list[int]]
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    hub.together = threading.Barrier(2)
    assert at_once(ASK.format(NAME, hub.address)) == [0, 0]
    hub.status = 503
    assert load_model(NAME)[0].config.model_type == "opt"


@pytest.mark.parametrize("lost", ["pytorch_model.bin", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("with_its_link", [True, False])
def test_a_file_that_the_cache_has_lost_comes_again_and_no_other(
    hub: LoopbackHub, tmp_path: Path, lost: str, with_its_link: bool
) -> None:
    load_model(NAME, on_progress=lambda done, total: None)
    [link] = (tmp_path / "cache").glob(f"*/snapshots/*/{lost}")
    link.resolve().unlink()
    if with_its_link:
        link.unlink()
    assert load_model(NAME, on_progress=lambda done, total: None)[0].config.model_type == "opt"
    assert {name for name, asked in hub.ranges.items() if len(asked) > 1} == {lost}


def test_a_full_disk_is_told_before_anything_comes(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    assert re.fullmatch(r"the disk has 1\.0 kB left for the \S+ kB to come", refusal())
    assert not hub.ranges


class Burglar:
    """Pickled, it would write a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.target), "w")


def test_a_checkpoint_that_holds_code_is_refused_and_the_code_does_not_run(
    hub: LoopbackHub, published: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    for file in published.glob("*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    torch.save({"lm_head.weight": Burglar(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(folder / "pytorch_model.bin", weights_only=True)
    hub.models["someone/evil"] = folder
    with pytest.raises(ShiraError, match="no causal language model could be loaded from"):
        load_model("someone/evil", on_progress=lambda done, total: None)
    assert not (tmp_path / "ran").exists()


def test_the_command_line_trains_a_model_of_the_hub(
    hub: LoopbackHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--steps", "2", "--batch-size", "2", "--eval-every", "1", "--r", "2", "--sample-tokens", "4"]
    assert main(["finetune", "--model", NAME, *short, "--out", str(tmp_path / "run")]) == 0
    assert History.load(tmp_path / "run/history.json").settings.model == NAME
    assert f"Downloading {NAME} once: " in capsys.readouterr().err


def test_a_notebook_shows_the_sentence_alone(hub: LoopbackHub) -> None:
    hub.status = 503
    shown = io.StringIO()
    with redirect_stdout(shown):
        InteractiveShell().run_cell(f"from shira_lab import load_model\nload_model('{NAME}')")
    assert shown.getvalue().startswith(NOT_HERE) and "Traceback" not in shown.getvalue()


def test_the_lab_downloads_when_it_runs_and_says_what_went_wrong(hub: LoopbackHub) -> None:
    with closing(FineTuneLab(model=NAME, r=2, steps=2, eval_every=2)) as lab:
        assert f"{NAME} is not on this machine yet: Run fetches it, and says its size." in lab.status.value
        hub.status = 503
        lab.run()
        with pytest.raises(ShiraError):
            lab.wait()
        assert f"{hub.address} is in trouble itself (503). Try again later." in lab.status.value
        hub.status = 200
        lab.run()
        assert lab.wait().history.status == "finished"
        assert "Estimated memory at the peak about" in lab.needs.value and "s a step" in lab.needs.value


def test_the_command_line_says_one_sentence(hub: LoopbackHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.status = 500
    began = time.monotonic()
    assert main(["generate", "--model", NAME]) == 2
    assert time.monotonic() - began < 10
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "Traceback" not in said.err
