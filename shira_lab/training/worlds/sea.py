"""Pirate tales at sea: the first world to fine-tune the embedded model on."""

from __future__ import annotations

from shira_lab.training.worlds.cast import TALE_CHECKS, TALE_ROLES, pairs, phrases, pronouns
from shira_lab.training.worlds.world import World

SHE = phrases("Scarlett, Morgana, Pearl, Bess, Marina, Coral, Sable, Bonny")
HE = phrases("Flint, Barnaby, Rufus, Drake, Silver, Gunnar, Redbeard, Smee")
RELIEF = {
    "grumpy": "merry as a parrot",
    "seasick": "steady as a rock",
    "thirsty": "full of coconut milk",
    "greedy": "rich at last",
    "homesick": "at home on the waves",
    "furious": "calm as the tide",
}

SEA = World(
    name="sea",
    about="pirate tales at sea, to fine-tune on",
    beats=(
        (
            "Once there was a {trait} pirate named {hero}.",
            "Once there was a {trait} pirate called {hero}, the terror of {waters}.",
            "Once there was a pirate named {hero}, {trait} as a {beast}.",
        ),
        (
            "{He} sailed {waters} on the {home}.",
            "{His} ship was the {home}, the pride of {waters}.",
            "{hero} was captain of the {home} and ruled {waters}.",
        ),
        (
            "{His} first mate was {friend}, who had a {mark}.",
            "At the wheel stood {friend}, a sailor with a {mark}.",
            "The cannons belonged to {friend}, {his} loyal gunner.",
        ),
        (
            "One {weather} {watch}, {hero} was {mood}.",
            "{hero} paced the {weather} deck all {watch}, {mood} as never before.",
            "The {watch} was {weather}, and {he} grew {mood}.",
        ),
        (
            '"Arrr, fetch me a {object}!" roared {friend}.',
            '"Ahoy, captain, we need a {object}!" cried {friend}.',
            "{friend} drew a cutlass and demanded a {object}.",
            '"Shiver me timbers, where be my {object}?" growled {friend}.',
        ),
        (
            "{hero} hoisted the sails and steered for {isle}.",
            "So {he} dropped anchor and rowed to {isle}.",
            "{He} plundered {isle}, but captured only a {trifle}.",
        ),
        (
            "{Hide} {he} dug up the {object}.",
            "There, {hide}, gleamed the {object}.",
            "{hero} spied the {object} {hide}.",
        ),
        (
            "{He} hauled the {object} aboard for {friend}.",
            "{hero} tossed the {object} to {friend}.",
            "{He} handed {friend} the {object} with a grin.",
        ),
        (
            '"Yo ho ho, {hero}!" bellowed {friend}.',
            '"Aye, that be a fine {object}!" shouted {friend}.',
            "{friend} saluted {hero} and fired a cannon.",
        ),
        (
            "{hero} and {friend} {revel} until {late}.",
            "Then {friend} and {hero} {revel} around the {object}.",
            "All night {he} and {friend} {revel} below deck.",
        ),
        (
            "Aboard the {home}, {hero} was {relief}.",
            "The {home} set sail again, and {hero} was {relief}.",
            "Under the black flag of the {home} {he} felt {relief}.",
        ),
    ),
    pools={
        "name": SHE + HE,
        "object": pairs(
            "golden, rusty, stolen, cursed, jewelled",
            "compass, dagger, spyglass, chest, crown, goblet, map, hook, pistol, barrel",
        ),
        "home": pairs("Black, Salty, Crimson, Howling, Drunken", "Gull, Shark, Kraken, Mermaid, Skull, Barnacle"),
        "mood": list(RELIEF),
        "trait": phrases("fierce, ruthless, bold, cunning, wicked, reckless"),
        "beast": phrases("shark, kraken, storm, whale"),
        "waters": phrases("the seven seas, the stormy ocean, the southern straits, the coral reefs"),
        "mark": phrases("wooden leg, gold tooth, parrot, scar, black eyepatch"),
        "weather": phrases("stormy, foggy, salty, moonlit"),
        "watch": phrases("night, dawn, voyage, watch"),
        "isle": phrases(
            "Skeleton Island, Parrot Bay, Dead Man's Cove, the harbour of Tortuga, the Spanish fleet, Smuggler's Rock"
        ),
        "trifle": phrases("crab, keg of tar, cannonball, lobster, torn sail"),
        "hide": phrases(
            "in a sunken wreck, beneath a palm tree, among the bones, in a smuggler's cave, below the waterfall"
        ),
        "revel": phrases("feasted, boasted, fiddled, sang, drummed"),
        "late": phrases("the candles burned out, the tide turned, sunrise, eight bells"),
    },
    roles=TALE_ROLES,
    derived=pronouns(SHE, HE) | {"relief": ("mood", RELIEF)},
    checks=TALE_CHECKS,
)
