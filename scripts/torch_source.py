"""Print the pip options that lead to a CPU build of PyTorch, and nothing where pip already takes one.

On Linux the build on PyPI brings CUDA libraries of several GB. pip is asked what it would install; only when that
includes CUDA is PyTorch's own CPU index added, whose `+cpu` versions sort above the plain ones.
"""

import json
import subprocess
import sys

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_PACKAGES = ("nvidia", "cuda")


def would_install() -> list[str]:
    """Names of the packages pip would install for PyTorch here, by its dry run."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--quiet", "--dry-run", "--ignore-installed"]
    answer = subprocess.run(
        [*pip, "--report", "-", "--constraint", "constraints.txt", "torch"], stdout=subprocess.PIPE, text=True
    )
    if answer.returncode:
        sys.exit("pip found no PyTorch to install: is there a network? Its own words stand above.")
    return [entry["metadata"]["name"].lower() for entry in json.loads(answer.stdout)["install"]]


def options(names: list[str]) -> list[str]:
    """pip options for the CPU build, given what pip would install without them."""
    return ["--extra-index-url", CPU_INDEX] if any(name.startswith(CUDA_PACKAGES) for name in names) else []


if __name__ == "__main__":
    print(*options(would_install()))
