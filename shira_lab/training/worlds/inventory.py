"""Short texts in which lists are repeated and things change hands: a pretraining helper.

Here copying pays early and often, which is what makes the copying circuit of a small transformer form at all.
The things and names are those of all worlds, so the circuit learns to copy words whatever they are.
"""

from __future__ import annotations

from shira_lab.training.worlds.meadow import MEADOW
from shira_lab.training.worlds.sea import SEA
from shira_lab.training.worlds.space import SPACE
from shira_lab.training.worlds.world import World

INVENTORY = World(
    name="inventory",
    about="lists that are repeated, for pretraining",
    beats=(
        ("Inventory.",),
        (
            "{owner} packed a {first}, a {second} and a {third}.",
            "{owner} had a {first}, a {second} and a {third}.",
            "In the bag of {owner} were a {first}, a {second} and a {third}.",
        ),
        (
            "{other} took out the {first}, the {second} and the {third}.",
            "{other} counted the {third}, the {second} and the {first}.",
            "The {first}, the {second} and the {third} pleased {other}.",
        ),
        (
            "{owner} and {other} went to the {house}.",
            "{other} met {owner} in the {house}.",
            "The {house} belonged to {owner} and {other}.",
        ),
        (
            "{other} wanted the {wanted}.",
            '"May I have the {wanted}?" asked {other}.',
            "{other} asked {owner} for the {wanted}.",
        ),
        (
            "{owner} gave the {wanted} to {other}.",
            "So {owner} handed {other} the {wanted}.",
            '"Here is the {wanted}, {other}," said {owner}.',
        ),
        (
            '"Thank you for the {wanted}, {owner}," said {other}.',
            "Now {other} had the {wanted}, and {owner} was glad.",
        ),
        (
            "{owner} and {other} left the {house}.",
            "In the {house} {other} thanked {owner} again.",
        ),
    ),
    pools={
        "name": [name for world in (MEADOW, SEA, SPACE) for name in world.pools["name"]],
        "object": [thing for world in (MEADOW, SEA, SPACE) for thing in world.pools["object"]],
        "house": [home for world in (MEADOW, SEA, SPACE) for home in world.pools["home"]],
        "listed": ["{first}", "{second}", "{third}"],
    },
    roles={
        "owner": "name",
        "other": "name",
        "first": "object",
        "second": "object",
        "third": "object",
        "house": "house",
        "wanted": "listed",
    },
    checks={role: (role,) for role in ("owner", "other", "first", "second", "third", "house", "wanted")},
)
