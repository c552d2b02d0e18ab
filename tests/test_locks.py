"""locks/ has a hash for every file that make downloads, at the versions of constraints.txt, and leaves nothing out."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_constraints import PINS, PROJECT, ROOT

ENTRY = re.compile(r"^([\w.-]+)==(\S+)(?: ; (.+?))?((?: \\\n +--hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)
LOCKS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "locks").glob("*.txt"))}
PINNED = {name: {canonicalize_name(m[1]): m[2] for m in ENTRY.finditer(text)} for name, text in LOCKS.items()}
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]


def wanted(extra: str) -> list[Requirement]:
    """What pyproject.toml asks for with this extra, extras inside it followed."""
    lines = PROJECT["optional-dependencies"]["course" if extra == "lab" else extra]
    if extra == "lab":
        lines = [*PROJECT["dependencies"], *lines, *BUILD]
    found: list[Requirement] = []
    for requirement in map(Requirement, lines):
        inner = requirement.name == PROJECT["name"]
        found += [r for name in requirement.extras for r in wanted(name)] if inner else [requirement]
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_of_a_lock_belongs_to_a_pinned_package_with_hashes(name: str) -> None:
    rest = ENTRY.sub("", LOCKS[name])
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_everything_that_is_asked_for_but_torch(name: str) -> None:
    here = PINNED["lab"] | PINNED[name]
    missing = [r for r in wanted(name) if r.name != "torch" and not r.specifier.contains(here.get(r.name, "0"))]
    assert missing == []


def test_a_lock_and_the_constraints_name_the_same_versions() -> None:
    locked = {name: version for pinned in PINNED.values() for name, version in pinned.items()}
    assert {name: version for name, version in locked.items() if PINS.get(name, version) != version} == {}


def test_other_systems_get_what_they_need_alone() -> None:
    markers = {match[1]: Marker(match[3]) for match in ENTRY.finditer(LOCKS["lab"]) if match[3]}
    on_a_mac = {"sys_platform": "darwin", "os_name": "posix"}
    on_windows = {"sys_platform": "win32", "os_name": "nt"}
    assert markers["appnope"].evaluate(on_a_mac) and not markers["appnope"].evaluate(on_windows)
    assert markers["pywinpty"].evaluate(on_windows) and not markers["pywinpty"].evaluate(on_a_mac)


def test_nothing_that_is_large_comes_with_torch() -> None:
    names = {name for pinned in PINNED.values() for name in pinned}
    assert not [name for name in names if name.startswith(("nvidia", "cuda", "triton", "torch"))]


def test_make_installs_nothing_without_a_hash_but_torch_and_the_project() -> None:
    makefile = (Path(ROOT) / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in makefile.splitlines() if "$(PIP) install" in line]
    hashed, project, torch = installs
    assert "--no-deps --require-hashes" in hashed
    assert project.endswith("--no-deps --no-build-isolation --editable .") and torch.endswith(" torch")
