"""Look before the long part starts: is this Python new enough, can it make an environment, is there room?

Standard library only and old syntax only, so that an interpreter that is too old can run the file and say so.
Every failure is one sentence that says what to do.
"""

import importlib.util
import shutil
import sys

OLDEST_PYTHON = (3, 11)
NEEDED_GB = 4


def python_is_new_enough(version):
    if tuple(version[:2]) < OLDEST_PYTHON:
        return (
            "This is Python {}.{}, and shira-lab needs {}.{} or newer: install one and name it, "
            "for example `make lab PYTHON=python3.11`.".format(version[0], version[1], *OLDEST_PYTHON)
        )
    return None


def python_can_make_environments(find_spec):
    missing = [name for name in ("venv", "ensurepip") if find_spec(name) is None]
    if missing:
        return (
            "This Python has no {} module: on Debian and Ubuntu run `apt-get install python3-venv`, "
            "elsewhere install Python from python.org.".format(" and no ".join(missing))
        )
    return None


def disk_has_room(free_bytes):
    free_gb = free_bytes / 1e9
    if free_gb < NEEDED_GB:
        return (
            "Only {:.1f} GB are free on this disk, and the environment with its downloads needs {} GB: "
            "make room, or work on another disk.".format(free_gb, NEEDED_GB)
        )
    return None


def main():
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
