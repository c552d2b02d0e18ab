"""Models come from the package, a folder or the cache without a network, and a missing hub is explained."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import shira_lab
from shira_lab.errors import ShiraError
from shira_lab.models import download, hub
from shira_lab.models.hub import load_model

INSTEAD = (
    "What needs no network: 'embedded', the model inside the package; 'smollm2-135m', which another package brings; "
    "the folder of a saved model."
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local cache, and a hub where nobody answers."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub"


@pytest.fixture
def silent_endpoint() -> Iterator[str]:
    """An address that accepts a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_the_embedded_model_comes_quietly_in_float32_ready_to_evaluate(capfd: pytest.CaptureFixture[str]) -> None:
    model, tokenizer = load_model()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer("Once").input_ids[0] == tokenizer.bos_token_id == model.config.bos_token_id
    assert capfd.readouterr() == ("", "")


def test_a_folder_is_a_model_too(tmp_path: Path, cache: Path) -> None:
    model, tokenizer = load_model()
    model.save_pretrained(tmp_path / "mine")
    tokenizer.save_pretrained(tmp_path / "mine")
    again, _ = load_model(tmp_path / "mine")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_a_cached_model_needs_no_hub(cache: Path) -> None:
    repository = cache / "models--someone--tales"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    with as_file(files("shira_lab.models") / "embedded") as folder:
        shutil.copytree(folder, repository / "snapshots" / ("0" * 40))
    model, _ = load_model("someone/tales")
    assert model.config.model_type == "opt"


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.mark.parametrize("dangling", [False, True], ids=["missing", "a link that leads nowhere"])
@pytest.mark.parametrize("lost", ["", "config.json", "tokenizer.json", "model.safetensors.index.json", *SHARDS])
def test_half_a_model_in_the_cache_is_not_taken_for_a_whole_one(cache: Path, lost: str, dangling: bool) -> None:
    repository = cache / "models--someone--tales"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    for name in ("config.json", "tokenizer.json", *SHARDS):
        (snapshot / name).write_text("{}")
    index = {"weight_map": {"first": SHARDS[0], "second": SHARDS[1]}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    if lost:
        (snapshot / lost).unlink()
        if dangling:
            (snapshot / lost).symlink_to(repository / "blobs" / "gone")
    assert hub.is_here("someone/tales") is not bool(lost)


def test_a_hub_that_refuses_is_explained(cache: Path) -> None:
    with pytest.raises(ShiraError) as error:
        load_model("someone/tales")
    assert str(error.value) == (
        "'someone/tales' is neither a folder nor in the local cache, and http://127.0.0.1:9 could not be reached. "
        + INSTEAD
    )


def test_a_hub_that_stays_silent_is_not_waited_for(
    cache: Path, silent_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PROBE_SECONDS", 0.2)
    monkeypatch.setenv("HF_ENDPOINT", silent_endpoint)
    with pytest.raises(ShiraError, match=rf"and {silent_endpoint} could not be reached"):
        load_model("someone/tales")


def test_offline_mode_is_respected(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ShiraError, match="and HF_HUB_OFFLINE forbids to ask"):
        load_model("someone/tales")


def test_a_name_that_cannot_be_one_is_explained(cache: Path) -> None:
    with pytest.raises(ShiraError) as error:
        load_model("./no/such/folder")
    assert str(error.value) == (
        "'./no/such/folder' is neither a folder nor the name of a model such as 'facebook/opt-125m'. " + INSTEAD
    )


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShiraError, match=f"no causal language model could be loaded from {tmp_path}: "):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("files_there", "weights"),
    [
        (["config.json", "model.safetensors", "pytorch_model.bin", "flax_model.msgpack"], ["model.safetensors"]),
        (["config.json", "pytorch_model.bin", "tf_model.h5"], ["pytorch_model.bin"]),
        (["config.json", "tf_model.h5"], []),
    ],
)
def test_only_one_kind_of_weights_is_downloaded(files_there: list[str], weights: list[str]) -> None:
    assert hub._usable(files_there) == ["config.json", *weights]


def test_the_package_has_load_model_without_importing_it_at_first() -> None:
    look = "import shira_lab, sys; print('transformers' in sys.modules, shira_lab.load_model.__module__)"
    answer = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "shira_lab.models.hub"]
    with pytest.raises(AttributeError, match="module 'shira_lab' has no attribute 'load_models'"):
        shira_lab.load_models  # noqa: B018
