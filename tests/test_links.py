"""A link that needs the repository's address follows from one line of pyproject.toml, and is left out without it."""

import re
import subprocess
import tomllib
from pathlib import Path

import links
import pytest
from links import FILES, ROOT, address, with_links

HERE = "https://github.com/someone/tales"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files that have links."""
    for name in FILES:
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(links, "ROOT", tmp_path)
    return tmp_path


def set_address(checkout: Path, to: str) -> None:
    path = checkout / "pyproject.toml"
    path.write_text(re.sub(r'^repository = ".*"$', f'repository = "{to}"', path.read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("name", FILES)
def test_the_links_of_a_file_are_current(name: str) -> None:
    text, at = (ROOT / name).read_text(encoding="utf-8"), address()
    assert text == with_links(text, FILES[name](at) if at else ""), "call `make links`"


@pytest.mark.parametrize("name", FILES)
def test_links_come_with_an_address_and_go_without(name: str) -> None:
    text = with_links((ROOT / name).read_text(encoding="utf-8"), "")
    linked = with_links(text, FILES[name](HERE))
    assert HERE not in text and HERE in linked
    assert with_links(linked, "") == text
    if name == "pyproject.toml":
        assert tomllib.loads(linked)["project"]["urls"]["Homepage"] == HERE


def test_the_address_is_one_that_the_links_can_be_made_of(checkout: Path) -> None:
    set_address(checkout, f"{HERE}/")
    assert address() == HERE
    for wrong in ("someone/tales", "https://example.org/tales", "https://github.com/someone"):
        set_address(checkout, wrong)
        with pytest.raises(SystemExit, match=f"should be https://github.com/OWNER/NAME.*; got {wrong}"):
            address()


def test_no_other_file_guesses_the_address() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    guesses = [
        name
        for name in listed
        if Path(name).suffix in (".md", ".py", ".toml", ".yml", ".yaml", ".cff", ".ipynb")
        and re.search(r"github\.com/[\w.-]+/shira", (ROOT / name).read_text(encoding="utf-8"))
    ]
    assert not guesses
