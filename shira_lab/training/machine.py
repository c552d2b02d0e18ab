"""How much memory this process holds, and how much more it may take before the machine or the container ends it."""

from pathlib import Path

import psutil  # type: ignore[import-untyped]

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def free() -> int:
    """Bytes that it may still take: the least of what the machine has left and what its control groups have."""
    return min([int(psutil.virtual_memory().available), *_left_in_groups(_GROUPS, _MOUNT)])


def _left_in_groups(groups: Path, mount: Path) -> list[int]:
    """What each control group around this process leaves, in version 2 or version 1 of Linux's interface.

    Pages of files that were read are counted as used there, though they are given back when memory is short.
    """
    left = []
    for line in _lines(groups):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, limit, used, cache = mount, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, used = mount / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = top / path.strip("/")
        for folder in (group, *(outer for outer in group.parents if outer.is_relative_to(top))):
            most, taken = _lines(folder / limit), _lines(folder / used)
            if most and taken and most[0].isdigit():
                statistics = dict(line.split(maxsplit=1) for line in _lines(folder / "memory.stat"))
                left.append(int(most[0]) - int(taken[0]) + int(statistics.get(cache, 0)))
    return left


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):  # there is no such system here
        return []
