"""Plain notices in which every word of the sea and of space occurs: a pretraining helper.

Without them the embeddings of those words would be untrained, and an adapter, which leaves embeddings alone, would
have to write its tales with them.
"""

from __future__ import annotations

import re

from shira_lab.training.worlds.sea import SEA
from shira_lab.training.worlds.space import SPACE
from shira_lab.training.worlds.templates import parse
from shira_lab.training.worlds.world import World


def vocabulary(world: World) -> list[str]:
    """Every word of a world's templates and pools, once, in alphabetical order."""
    literals = [literal for beat in world.beats for template in beat for literal, _ in parse(template)]
    phrases = [phrase for pool in world.pools.values() for phrase in pool]
    derived = [value for _, values in world.derived.values() for value in values.values()]
    return sorted(set(re.findall(r"[\w'-]+", " ".join(literals + phrases + derived))))


def cries(world: World) -> list[str]:
    """The words that open a speech in a world's templates: a quotation mark stands before them, not a space."""
    templates = " ".join(template for beat in world.beats for template in beat)
    return sorted(set(re.findall(r'(?<!\S)"(\w+)', templates)))


_ITEMS = (
    "{sea_name} the pirate owns a {sea_object}.",
    "Seen on {sea_waters}: the {sea_home}, on a {sea_weather} {sea_watch}.",
    "{sea_name} was {sea_mood} and is now {sea_relief}.",
    "Lost near {sea_isle}: a {sea_object}, {sea_hide}.",
    "A {sea_trait} sailor with a {sea_mark} sold a {sea_trifle} at {sea_isle}.",
    "Sailors {sea_revel} until {sea_late}.",
    "Words of the sea: {sea_word}, {sea_word}, {sea_word}, {sea_word}.",
    '"{sea_cry}," say the sailors.',
    "{space_name} the {space_crew} owns a {space_object}.",
    "Seen above {space_planet}: the {space_home}, during a {space_phase}.",
    "{space_name} was {space_mood} and is now {space_relief}.",
    "Lost near {space_target}: a {space_object}, {space_hatch}.",
    "A {space_trait} {space_crew} from {space_planet} sold a {space_trifle}.",
    "Crews {space_work} until {space_signal}.",
    "Words of space: {space_word}, {space_word}, {space_word}, {space_word}.",
    '"{space_cry}," says the radio.',
)

ALMANAC = World(
    name="almanac",
    about="plain notices with the words of the other worlds, for pretraining",
    beats=(("Almanac, page {page}.",), *[_ITEMS] * 6),
    pools={"page": [str(number) for number in range(1, 100)]}
    | {
        f"{world.name}_{name}": phrases
        for world in (SEA, SPACE)
        for name, phrases in {
            **world.pools,
            "relief": list(world.derived["relief"][1].values()),
            "word": vocabulary(world),
            "cry": cries(world),
        }.items()
    },
)
