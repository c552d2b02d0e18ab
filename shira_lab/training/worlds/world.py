"""A world is a story grammar written as data: beats of alternative sentences, filled in from pools of words.

A role (the hero, the thing asked for) is drawn at its first mention and repeated ever after, so a reader of
the text can only guess it once and must remember it from then on. A word is drawn afresh at each mention. A
derived field (she, her) follows from a role and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shira_lab.training.worlds import scoring
from shira_lab.training.worlds.grammar import Teller, derivations
from shira_lab.training.worlds.templates import filled, parse


@dataclass(frozen=True)
class Story:
    """A text of a world, its information in nats, and what is true in it.

    Attributes:
        text: the story.
        nats: -log p(text) under the world's grammar, in nats: no model can do better on average.
        facts: the value of each role, e.g. ``{"hero": "Mia", "object": "red kite", ...}``.
    """

    text: str
    nats: float
    facts: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class World:
    """A grammar of texts.

    Attributes:
        name: how `get_world` knows it.
        about: one line for people.
        beats: the story from start to end; each beat is a choice of templates, one of which is used.
        pools: lists of phrases to draw from. A phrase may mention roles, ``"{first}"``.
        roles: role -> pool. Two roles of the same pool never take the same value.
        derived: field -> (role, its value for each value of the role).
        checks: consistency check -> the fields it looks at (see `shira_lab.training.worlds.scoring`).

    A field of a template that is neither a role nor derived names a pool and is drawn afresh. Written with a
    capital, as in ``{He}``, the value begins a sentence.

    A text has one derivation only, which makes its nats exact: the templates of a beat differ in their own words, and
    no phrase of a pool is another one's beginning up to the word that follows the field. The tests search for a second
    derivation in each world and find none.
    """

    name: str
    about: str
    beats: Sequence[Sequence[str]]
    pools: Mapping[str, Sequence[str]]
    roles: Mapping[str, str] = field(default_factory=dict)
    derived: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    checks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def story(self, seed: int | str) -> Story:
        """The story of this seed, the same on every machine."""
        teller = Teller(f"{self.name}/{seed}")
        facts = self._tell(teller)
        return Story(teller.text, teller.nats, facts)

    def stories(self, n: int, seed: int = 0, split: str = "train") -> list[Story]:
        """`n` independent stories; each (split, seed) is a stream of its own, and more stories extend fewer."""
        return [self.story(f"{split}/{seed}/{index}") for index in range(n)]

    def derivations(self, text: str) -> Iterator[float]:
        """The nats of every way in which this world generates exactly `text`: one way, or none."""
        return derivations(self._tell, text)

    def derives(self, text: str) -> bool:
        """Whether `text` is, word for word, a story of this world."""
        return any(True for _ in self.derivations(text))

    def score(self, text: str) -> dict[str, bool | None]:
        """Each consistency check on `text`: kept, broken, or None where the text does not get that far."""
        return scoring.score(self, text)

    def tally(self, texts: Iterable[str]) -> dict[str, scoring.Tally]:
        """Each consistency check counted over many texts."""
        return scoring.tally(self, texts)

    def _tell(self, teller: Teller) -> dict[str, str]:
        facts: dict[str, str] = {}
        for number, beat in enumerate(self.beats):
            teller.say(" " if number else "")
            for literal, name in parse(teller.choose(beat)):
                teller.say(literal)
                if name:
                    teller.say(filled(name, self._value(name.lower(), facts, teller)))
        return facts

    def _value(self, name: str, facts: dict[str, str], teller: Teller) -> str:
        if name in facts:
            return facts[name]
        if name in self.derived:
            role, values = self.derived[name]
            return values[facts[role]]
        if name not in self.roles:
            return teller.choose(self.pools[name])
        pool = self.roles[name]
        taken = {facts[role] for role, other in self.roles.items() if other == pool and role in facts}
        free = [option for option in self.pools[pool] if option not in taken]
        facts[name] = teller.choose(free).format_map(facts)
        return facts[name]
