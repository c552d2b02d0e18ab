"""The worlds keep their books: exact nats, one way to tell each text, and checks that see what is wrong."""

from __future__ import annotations

import math
import re

import pytest

from shira_lab.errors import ShiraError
from shira_lab.training.worlds import WORLDS, World, get_world
from shira_lab.training.worlds.almanac import vocabulary
from shira_lab.training.worlds.grammar import Teller, derivations

TALES = [get_world(name) for name in ("meadow", "sea", "space")]


def world_name(world: World) -> str:
    return world.name


every_world = pytest.mark.parametrize("world", WORLDS.values(), ids=world_name)
every_tale = pytest.mark.parametrize("world", TALES, ids=world_name)


@every_world
def test_each_text_is_told_in_one_way_and_its_nats_are_booked_exactly(world: World) -> None:
    for story in world.stories(15):
        (nats,) = world.derivations(story.text)
        assert nats == pytest.approx(story.nats, abs=1e-9)
        assert not world.derives(story.text + " The end.")


def test_a_program_with_two_ways_to_one_text_is_found_out() -> None:
    def ambiguous(teller: Teller) -> None:
        teller.say(teller.choose(["a", "ab"]))
        teller.say(teller.choose(["c", "bc"]))

    assert len(list(derivations(ambiguous, "abc"))) == 2
    assert len(list(derivations(ambiguous, "ac"))) == 1
    assert not list(derivations(ambiguous, "bc"))


def test_the_probabilities_of_all_texts_add_up_to_one() -> None:
    world = World("weather", "", beats=(("{day} is {sky}.", "{day} and {day} rain."),), pools={
        "day": ["Monday", "Tuesday", "Friday"], "sky": ["blue", "grey"],
    })  # fmt: skip
    texts = {story.text: story.nats for story in world.stories(500)}
    assert len(texts) == 3 * 2 + 3 * 3
    assert sum(math.exp(-nats) for nats in texts.values()) == pytest.approx(1)


def test_weighted_choices_are_booked_at_their_own_price() -> None:
    tellers = [Teller(seed) for seed in range(2000)]
    picks = [teller.choose(["rare", "common"], [1, 3]) for teller in tellers]
    assert {teller.nats for teller, pick in zip(tellers, picks, strict=True) if pick == "rare"} == {math.log(4)}
    assert picks.count("rare") == pytest.approx(500, abs=100)


@every_world
def test_the_same_seed_tells_the_same_stories(world: World) -> None:
    assert world.stories(5, seed=1) == world.stories(5, seed=1)
    assert world.stories(5, seed=1) == world.stories(9, seed=1)[:5]
    assert world.stories(5, seed=1) != world.stories(5, seed=2)


@every_world
def test_no_story_is_told_twice_within_or_across_splits(world: World) -> None:
    stories = world.stories(500, split="train") + world.stories(500, split="held-out")
    assert len({story.text for story in stories}) == len(stories)


@every_tale
def test_every_tale_begins_with_the_shared_prompt(world: World) -> None:
    assert all(story.text.startswith("Once there was a ") for story in world.stories(50))


@every_tale
def test_a_true_tale_breaks_no_check_and_each_check_is_made_often(world: World) -> None:
    for name, count in world.tally(story.text for story in world.stories(200)).items():
        assert count.right == count.checked, name
        assert count.checked > 190, name


@every_tale
@pytest.mark.parametrize("role", ["hero", "friend", "object", "home"])
def test_a_last_mention_that_is_changed_breaks_its_check_alone(world: World, role: str) -> None:
    for story in world.stories(40):
        *earlier, last = re.finditer(rf"\b{story.facts[role]}\b", story.text)
        if earlier:
            other = next(value for value in world.pools[world.roles[role]] if value not in story.facts.values())
            text = story.text[: last.start()] + other + story.text[last.end() :]
            assert [name for name, kept in world.score(text).items() if kept is False] == [role], text


@every_tale
def test_a_wrong_pronoun_is_seen(world: World) -> None:
    swap = {"She": "He", "He": "She", "she": "he", "he": "she", "Her": "His", "His": "Her"}
    for story in world.stories(40):
        text = re.sub(rf"\b({'|'.join(swap)})\b", lambda match: swap[match[0]], story.text)
        assert world.score(text)["pronoun"] is (None if text == story.text else False)


@every_tale
def test_a_mood_that_does_not_follow_is_seen(world: World) -> None:
    _, reliefs = world.derived["relief"]
    for story in world.stories(40):
        relief = reliefs[story.facts["mood"]]
        other = next(value for value in reliefs.values() if value not in relief and relief not in value)
        start = story.text.rindex(relief)
        assert world.score(story.text[:start] + other + ".")["mood"] is False


def test_a_text_that_stops_early_leaves_later_checks_open() -> None:
    text = "Once there was a kind fox named Mia. She lived in a mossy den on the hill."
    assert get_world("meadow").score(text) == {
        "hero": None, "pronoun": True, "friend": None, "object": None, "home": None, "mood": None,
    }  # fmt: skip


def test_the_almanac_says_every_word_of_the_later_worlds() -> None:
    almanac = set(vocabulary(get_world("almanac")))
    for world in (get_world("sea"), get_world("space")):
        assert set(vocabulary(world)) <= almanac


def test_an_unknown_world_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ShiraError) as error:
        get_world("desert")
    assert str(error.value) == (
        "there is no world 'desert'; choose one of 'meadow', 'sea', 'space', 'almanac', 'inventory'"
    )
