"""Story grammars: texts whose entropy is known exactly, and whose consistency can be checked.

`WORLDS` names them all. Tales are told in the meadow, at sea and in space; the almanac and the inventory only
help to pretrain the embedded model.
"""

from __future__ import annotations

from shira_lab.errors import ShiraError
from shira_lab.training.worlds.almanac import ALMANAC
from shira_lab.training.worlds.inventory import INVENTORY
from shira_lab.training.worlds.meadow import MEADOW
from shira_lab.training.worlds.sea import SEA
from shira_lab.training.worlds.space import SPACE
from shira_lab.training.worlds.world import Story, World

__all__ = ["WORLDS", "Story", "World", "get_world"]

#: All worlds by name.
WORLDS = {world.name: world for world in (MEADOW, SEA, SPACE, ALMANAC, INVENTORY)}


def get_world(name: str) -> World:
    """The world of this name. Raises ShiraError, naming the known ones, for any other.

    >>> get_world("sea").name
    'sea'
    """
    if name not in WORLDS:
        raise ShiraError(f"there is no world {name!r}; choose one of {', '.join(map(repr, WORLDS))}")
    return WORLDS[name]
