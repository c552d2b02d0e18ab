"""Look before the long part starts: is this Python new enough, can it make an environment, is there room?

Standard library and old syntax only, so that an interpreter that is too old can run the file and say so.
Every failure is one sentence that says what to do.
"""

import importlib.util
import shutil
import sys

OLDEST_PYTHON = (3, 11)
NEEDED_GB = 4


def python_is_new_enough(version):
    """None, or what is wrong with a Python of this (major, minor, ...) version."""
    if tuple(version) < OLDEST_PYTHON:
        came, needed = (f"{major}.{minor}" for major, minor in (version[:2], OLDEST_PYTHON))
        return (
            f"This is Python {came}, and shira-lab needs {needed} or newer: "
            f"install one and name it, for example `make lab PYTHON=python{needed}`."
        )
    return None


def python_can_make_environments(find_spec):
    """None, or which module for making environments `find_spec` does not find; Debian ships them apart."""
    missing = [name for name in ("venv", "ensurepip") if find_spec(name) is None]
    if missing:
        return (
            f"This Python has no {' and no '.join(missing)} module: on Debian and Ubuntu run "
            "`apt-get install python3-venv`, elsewhere install Python from python.org."
        )
    return None


def disk_has_room(free_bytes):
    """None, or how little room there is."""
    if free_bytes < NEEDED_GB * 1e9:
        return (
            f"Only {free_bytes / 1e9:.1f} GB are free on this disk, and the environment with its downloads "
            f"needs {NEEDED_GB} GB: make room, or work on another disk."
        )
    return None


def main():
    """Print what is wrong, one sentence each; 1 if anything is."""
    problems = [
        python_is_new_enough(sys.version_info),
        python_can_make_environments(importlib.util.find_spec),
        disk_has_room(shutil.disk_usage(".").free),
    ]
    found = [problem for problem in problems if problem]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
