"""Why each option of a lesson's question is right or wrong.

The sentences are in ``reasons.toml``. In a lesson's cell they would give the answer away, right above the buttons.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from shira_lab.errors import ConfigError


@cache
def written() -> Mapping[str, Mapping[str, str]]:
    """The sentence for each option, by question, in the order of the lessons."""
    return tomllib.loads((files("shira_lab.course") / "reasons.toml").read_text(encoding="utf-8"))


def reasons(question: str) -> dict[str, str]:
    """The options of a lesson's question, each with a sentence on why it is right or wrong.

    Raises:
        ConfigError: no lesson asks this.
    """
    if question not in written():
        raise ConfigError(f"{question!r} is no question of a lesson; give its options, each with a reason.")
    return dict(written()[question])
