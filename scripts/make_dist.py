"""`make dist`: build the sdist and the wheel twice, see that both have the same bytes, and list what they need.

    python scripts/make_dist.py [FOLDER]

The time that stands in the archives is that of the last commit, so that any machine gets the same bytes from it. The
list, `sbom.json`, is in CycloneDX's form: what the lessons need, PyTorch at the version of constraints.txt and all else
with the hashes of locks/lab.txt.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build(folder: Path, epoch: str) -> dict[str, str]:
    """Build the sdist and the wheel; the SHA-256 of each by its name."""
    hatchling = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(hatchling, cwd=ROOT, env=os.environ | {"SOURCE_DATE_EPOCH": epoch}, check=True, capture_output=True)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def last_commit() -> str:
    """When it was made, in seconds."""
    said = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    return said.stdout.strip()


def write_sbom(file: Path) -> None:
    """List what the wheel with its extra `course` needs."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    [torch] = re.findall(r"^torch==.*$", pins, re.MULTILINE)
    needed = f"{torch}\n" + (ROOT / "locks" / "lab.txt").read_text(encoding="utf-8")
    lister = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "-"]
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--output-file", str(file)]
    subprocess.run([*lister, *options], input=needed, text=True, check=True)


def main(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    epoch = last_commit()
    with tempfile.TemporaryDirectory() as second:
        files = build(target, epoch)
        if files != build(Path(second), epoch):
            sys.exit("Two builds of one commit differ: something in them depends on when or where they were made.")
    write_sbom(target / "sbom.json")
    for name, digest in files.items():
        print(f"{digest}  {target / name}")
    print(f"The same bytes twice; {target / 'sbom.json'} lists what they need.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))
