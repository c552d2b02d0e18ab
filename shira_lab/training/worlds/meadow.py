"""Plain meadow tales: the world in which the embedded model grew up."""

from __future__ import annotations

from shira_lab.training.worlds.cast import TALE_CHECKS, TALE_ROLES, pairs, phrases, pronouns
from shira_lab.training.worlds.world import World

SHE = phrases("Mia, Lily, Rosa, Nora, Ella, Tess, Wren, Poppy, Daisy, Hazel, Ruby, Clara")
HE = phrases("Ben, Tom, Max, Finn, Otto, Hugo, Felix, Jasper, Sam, Leo, Toby, Paul")
RELIEF = {
    "lonely": "glad of the company",
    "sad": "happy again",
    "bored": "full of ideas",
    "tired": "wide awake",
    "worried": "calm",
    "hungry": "full",
    "cold": "warm",
    "cross": "friendly again",
    "shy": "brave",
}

MEADOW = World(
    name="meadow",
    about="plain meadow tales, the world of the embedded model",
    beats=(
        (
            "Once there was a {trait} {animal} named {hero}.",
            "Once there was a {animal} named {hero}, who was very {trait}.",
            "Once there was a {trait} little {animal} called {hero}.",
        ),
        (
            "{He} lived in a {home} {where}.",
            "{His} house was a {home} {where}.",
            "{hero} had a {home} {where}.",
        ),
        (
            "{His} best friend was {friend} the {animal}.",
            "{He} had a good friend named {friend}, a {animal}.",
            "Next door lived {friend} the {animal}, {his} dear friend.",
        ),
        (
            "One {weather} {daytime}, {hero} felt {mood}.",
            "It was a {weather} {daytime}, and {he} was {mood}.",
            "{hero} woke up on a {weather} {daytime} and felt {mood}.",
        ),
        (
            "Then {friend} came and asked for a {object}.",
            '"Please bring me a {object}," said {friend}.',
            '{friend} said, "I wish I had a {object}."',
            '"Have you seen my {object}?" asked {friend}.',
        ),
        (
            "{hero} looked {place}.",
            "So {he} went out and looked {place}.",
            "{He} searched {place}, but found only a {trifle}.",
        ),
        (
            "At last {hero} found the {object} {spot}.",
            "There, {spot}, lay the {object}.",
            "{Spot} {he} saw the {object}.",
        ),
        (
            "{He} carried the {object} to {friend}.",
            "{hero} gave the {object} to {friend}.",
            "{He} brought {friend} the {object}.",
        ),
        (
            '"Thank you, {hero}!" said {friend}.',
            '"What a lovely {object}!" said {friend}.',
            "{friend} hugged {hero} and laughed.",
        ),
        (
            "{hero} and {friend} {play} until {evening}.",
            "Then {friend} and {hero} {play} with the {object}.",
            "All day {he} and {friend} {play}.",
        ),
        (
            "Back in the {home}, {hero} was {relief}.",
            "{hero} came home to the {home} and was {relief}.",
            "In the {home} {he} slept well and felt {relief}.",
        ),
    ),
    pools={
        "name": SHE + HE,
        "object": pairs(
            "red, blue, green, yellow, white, round, tiny, shiny",
            "ball, kite, drum, bell, book, cup, hat, lamp, ring, spoon, basket, ribbon, feather, button, whistle, "
            "scarf",
        ),
        "home": pairs(
            "hollow, mossy, little, stone, wooden, round, quiet",
            "tree, burrow, cottage, barn, hut, mill, den",
        ),
        "mood": list(RELIEF),
        "trait": phrases("kind, clever, gentle, curious, patient, cheerful, careful, polite, quick, merry"),
        "animal": phrases("rabbit, mouse, fox, hedgehog, squirrel, duck, badger, frog, sheep, mole, bear, goose"),
        "where": phrases("by the brook, near the woods, on the hill, in the valley, behind the hedge, under the oaks"),
        "weather": phrases("sunny, rainy, windy, misty, snowy, warm"),
        "daytime": phrases("morning, day, afternoon, evening"),
        "place": phrases(
            "under the bridge, in the tall grass, behind the barn, along the path, among the flowers, "
            "beside the pond, in the garden, around the well, across the field, between the roots"
        ),
        "trifle": phrases("leaf, stone, stick, nut, shell, twig, snail, cone"),
        "spot": phrases(
            "near a mushroom, behind a fence, in a puddle, on a branch, beneath a bush, in a nest, "
            "next to a rose, inside a log"
        ),
        "play": phrases("played, danced, sang, raced, painted, baked, swam, talked"),
        "evening": phrases("sunset, supper, the stars came out, bedtime, the moon rose"),
    },
    roles=TALE_ROLES,
    derived=pronouns(SHE, HE) | {"relief": ("mood", RELIEF)},
    checks=TALE_CHECKS,
)
