"""What learners read in their own language: a gettext catalogue for each, in which the English text is the key.

``locale/de.po`` has the German texts of apps, checks and lessons; any editor for .po files opens it. Code asks with
:func:`tr` for a text that a learner meets, and gets the English one where no language is chosen or a text is missing.
"""

import os
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any

from shira_lab.errors import ConfigError

#: A language's code, ``de`` for instance; where it is not set, texts are English.
VARIABLE = "SHIRA_LAB_LANGUAGE"
LOCALE = Path(__file__).parent / "locale"
ENGLISH = "en"

_chosen = ENGLISH


def languages() -> list[str]:
    """The codes of the languages that there are."""
    return sorted([ENGLISH, *(path.stem for path in LOCALE.glob("*.po"))])


def use_language(code: str) -> None:
    """Show texts in this language from now on; the first cell of a translated lesson calls it.

    Raises:
        ConfigError: there is no catalogue for it.
    """
    global _chosen
    catalogue(code)
    _chosen = code


def tr(text: str, **values: Any) -> str:
    """The text in the learner's language, with ``values`` at the places that name them.

    >>> tr("{ones:,} ones", ones=3072)
    '3,072 ones'
    """
    said = catalogue(_chosen).gettext(text)
    return said.format(**values) if values else said


@cache
def catalogue(code: str) -> NullTranslations:
    """All texts of a language, by their English ones; those that a translator has to look at again are left out.

    Raises:
        ConfigError: there is no catalogue for it.
    """
    if code == ENGLISH:
        return NullTranslations()
    if code not in languages():
        raise ConfigError(f"There is no language '{code}'; there are {', '.join(languages())}.")
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    compiled = BytesIO()
    with (LOCALE / f"{code}.po").open("rb") as file:
        write_mo(compiled, read_po(file))
    compiled.seek(0)
    return GNUTranslations(compiled)


if VARIABLE in os.environ:
    use_language(os.environ[VARIABLE])
