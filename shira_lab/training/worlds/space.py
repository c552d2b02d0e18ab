"""Tales of robots and rockets: the second world to fine-tune the embedded model on."""

from __future__ import annotations

from shira_lab.training.worlds.cast import TALE_CHECKS, TALE_ROLES, pairs, phrases, pronouns
from shira_lab.training.worlds.world import World

SHE = phrases("Nova, Vega, Luna, Lyra, Stella, Astra, Zara, Juno")
HE = phrases("Orion, Zed, Rex, Atlas, Cosmo, Kepler, Titan, Bolt")
RELIEF = {
    "dizzy": "balanced again",
    "glitchy": "fully repaired",
    "weightless": "firmly strapped in",
    "overheated": "pleasantly cool",
    "lost": "back on course",
    "sleepless": "ready for hibernation",
}

SPACE = World(
    name="space",
    about="tales of robots and rockets, to fine-tune on",
    beats=(
        (
            "Once there was a {trait} {crew} named {hero}.",
            "Once there was a {crew} on {planet}, the {trait} {hero}.",
            "Once there was a {trait} {crew} with the call sign {hero}.",
        ),
        (
            "{He} orbited {planet} in the {home}.",
            "{His} station was the {home}, far beyond {planet}.",
            "{hero} piloted the {home} past {planet}.",
        ),
        (
            "The ship's {crew} was {friend}, built on {planet}.",
            "{friend}, a {crew} from {planet}, was {his} partner.",
            "With {him} flew {friend}, the only {crew} from {planet}.",
        ),
        (
            "During the {phase}, {hero} became {mood}.",
            "An alarm rang in the {phase}, and {he} was {mood}.",
            "One {phase} in zero gravity left {hero} {mood}.",
        ),
        (
            '"Mission control, send a {object}," beeped {friend}.',
            "{friend} transmitted a request for a {object}.",
            '"Warning: the {object} is missing," reported {friend}.',
            '"Without a {object} the engine fails," said {friend}.',
        ),
        (
            "{hero} launched a probe toward {target}.",
            "So {he} put on a spacesuit and floated to {target}.",
            "{He} scanned {target}, but detected only a {trifle}.",
        ),
        (
            "{Hatch} the radar located the {object}.",
            "The {object} was drifting {hatch}.",
            "{hero} discovered the {object} {hatch}.",
        ),
        (
            "{He} teleported the {object} to {friend}.",
            "{hero} installed the {object} next to {friend}.",
            "{He} delivered the {object} to {friend} by rocket.",
        ),
        (
            '"Signal received, {hero}," beeped {friend}.',
            '"The {object} is online," announced {friend}.',
            "{friend} activated the lights and thanked {hero}.",
        ),
        (
            "{hero} and {friend} {work} until {signal}.",
            "Then {friend} and {hero} {work} by the glow of the {object}.",
            "For a light-year {he} and {friend} {work}.",
        ),
        (
            "On board the {home}, {hero} was {relief}.",
            "The {home} landed softly, and {hero} was {relief}.",
            "In a capsule of the {home} {he} felt {relief}.",
        ),
    ),
    pools={
        "name": SHE + HE,
        "object": pairs(
            "quantum, plasma, solar, magnetic, titanium",
            "battery, antenna, laser, module, circuit, shield, reactor, beacon, sensor, crystal",
        ),
        "home": pairs("Stellar, Silent, Photon, Lunar, Cosmic", "Falcon, Comet, Pioneer, Voyager, Needle, Horizon"),
        "mood": list(RELIEF),
        "trait": phrases("brilliant, logical, tireless, precise, metallic, fearless"),
        "crew": phrases("robot, pilot, cyborg, mechanic, navigator"),
        "planet": phrases("Mars, Saturn, Neptune, Pluto, Mercury"),
        "phase": phrases("eclipse, countdown, meteor shower, solar storm, docking manoeuvre"),
        "target": phrases(
            "the asteroid belt, a distant galaxy, the dark nebula, the rings of ice, a frozen moon, the landing zone"
        ),
        "trifle": phrases("satellite, cloud of dust, broken rover, radio echo, photon"),
        "hatch": phrases(
            "inside an airlock, behind a black hole, near the telescope, in the cargo bay, above the crater"
        ),
        "work": phrases("calculated, recharged, experimented, navigated, celebrated"),
        "signal": phrases("liftoff, the next orbit, touchdown, the sensors slept"),
    },
    roles=TALE_ROLES,
    derived=pronouns(SHE, HE) | {"relief": ("mood", RELIEF)},
    checks=TALE_CHECKS,
)
