"""A kill -9 at any moment of a save leaves the old adapter or the new one, whole. More of it: scripts/kill_saves.py."""

import hashlib
import os
import re
import resource
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from kill_saves import FORMS, adapter, content, in_a_child, kill_at_every_call, kill_at_random, which

from shira_lab import PeftModel
from shira_lab.adapters.shelf import AdapterShelf
from shira_lab.adapters.storage.files import find_files
from shira_lab.errors import StorageError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills forked processes")


@pytest.mark.parametrize(("before", "after"), [(FORMS[0], FORMS[0]), (FORMS[0], FORMS[1]), (FORMS[1], FORMS[0])])
def test_killed_at_any_call_a_save_leaves_the_old_adapter_or_the_new_one(
    before: dict[str, bool], after: dict[str, bool], tmp_path: Path
) -> None:
    found = kill_at_every_call(before, after, tmp_path)
    assert found == sorted(found) and set(found) == {"first", "second"} and len(found) > 20


def test_killed_at_any_call_a_first_save_leaves_nothing_or_an_adapter(tmp_path: Path) -> None:
    found = kill_at_every_call({}, {}, tmp_path, keep=False)
    assert found == sorted(found) and set(found) == {"nothing", "second"}


def test_killed_at_a_hundred_random_moments_the_folder_always_holds_an_adapter(tmp_path: Path) -> None:
    found = kill_at_random(100, 0, tmp_path)
    assert sum(found.values()) == 100 and all(found[name] > 10 for name in ("first", "second"))


@pytest.fixture
def half_saved(tmp_path: Path) -> Path:
    """A folder in which the new adapter's tensors are in place, and its config still waits."""
    old = tmp_path / "one"
    adapter(2).save_pretrained(old)
    config = (old / "adapter_config.json").read_bytes()
    adapter(5).save_pretrained(old)
    (old / "adapter_config.json").rename(old / f".adapter_config.json.{digest(old / 'adapter_model.safetensors')}")
    (old / "adapter_config.json").write_bytes(config)
    return old


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_what_waits_is_read_and_listed_and_the_next_save_tidies_up(half_saved: Path) -> None:
    before = sorted(half_saved.iterdir())
    assert which(half_saved, {"new": content(adapter(5))}) == "new"
    shelf = AdapterShelf(PeftModel(adapter(2).unload()), half_saved.parent)
    assert shelf.config("one").r == 5
    assert sorted(half_saved.iterdir()) == before  # reading changes nothing
    for name in ("adapter_model.safetensors", "README.md"):
        (half_saved / f".{name}.abc").write_bytes(b"left by a killed process")
    adapter(3).save_pretrained(half_saved)
    files = ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert sorted(file.name for file in half_saved.iterdir()) == files
    assert "- r: 3, " in (half_saved / "README.md").read_text()
    assert which(half_saved, {"newest": content(adapter(3))}) == "newest"


def test_what_waits_for_other_tensors_is_passed_over(half_saved: Path) -> None:
    (waiting,) = half_saved.glob(".adapter_config.json.*")
    waiting.rename(half_saved / f".adapter_config.json.{'0' * 64}")
    assert find_files(half_saved)[0].name == "adapter_config.json"


# ---- a disk that is full, a folder that is closed -------------------------------------------------------------------


def small_disk(bytes_free: int) -> None:
    """From here on no file of this process may grow beyond so many bytes; the system answers as a full disk does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_free, bytes_free))


@pytest.mark.parametrize("bytes_free", [0, 1, 200, 5000])
def test_a_disk_that_is_full_leaves_what_was_there_and_no_rubbish(bytes_free: int, tmp_path: Path) -> None:
    old, new = adapter(2), adapter(5)
    old.save_pretrained(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    said, say = os.pipe()

    def save() -> None:
        small_disk(bytes_free)
        try:
            new.save_pretrained(tmp_path)
        except StorageError as error:
            os.write(say, str(error).encode())

    os.waitpid(in_a_child(save), 0)
    os.close(say)
    message = os.read(said, 10_000).decode()
    os.close(said)
    assert re.fullmatch(r"Could not write .*/adapter_\S+: File too large. What was there is unchanged.", message)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_folder_that_is_read_only_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:  # what the system answers; root, who runs many tests, may write
        raise PermissionError(13, "Permission denied")

    adapter(2).save_pretrained(tmp_path)
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(StorageError, match=r"Could not write .*: Permission denied. What was there is unchanged."):
        adapter(5).save_pretrained(tmp_path)
    assert which(tmp_path, {"old": content(adapter(2))}) == "old"


def test_what_no_file_can_hold_is_said_before_anything_is_written(tmp_path: Path) -> None:
    model = adapter(2)
    model.peft_config["default"].mask_kwargs = {"size": object()}
    with pytest.raises(StorageError, match=r"The config cannot be written as JSON \(Object of type object is not"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
