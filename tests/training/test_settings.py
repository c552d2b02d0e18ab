"""A setting is one line: its check, its option, its control and its row in the docs follow from it."""

import argparse
import inspect
from dataclasses import dataclass, field

import pytest
import settings_page
import traitlets

from shira_lab.cli.finetune import add_settings
from shira_lab.course.widgets import FineTuneLab
from shira_lab.course.widgets.settings_controls import settings_controls, settings_of_state, settings_state
from shira_lab.errors import ConfigError
from shira_lab.training.settings import Settings, about, option, settings_of, table


@dataclass(frozen=True)
class More(Settings):
    """A course of tomorrow, with one setting more."""

    rest: int = field(
        default=3, metadata=about("steps between two breaks", unit="steps", low=1, high=40, lab="control")
    )


def test_a_line_is_an_option_of_the_command() -> None:
    parser = argparse.ArgumentParser()
    add_settings(parser, More)
    assert parser.parse_args(["--rest", "7"]).rest == 7
    assert "steps between two breaks (default: 3)" in parser.format_help()


def test_a_line_is_a_control_of_the_lab() -> None:
    state = {name: trait.default_value for name, trait in settings_state(More).class_traits(state=True).items()}
    control = settings_controls(More, state)["rest"]
    assert (control.description, control.value, control.min, control.max) == ("rest", 3, 1, 40)
    assert settings_of_state(More, {**state, "rest": 9}) == More(rest=9)
    with pytest.raises(traitlets.TraitError):
        settings_state(More)(rest=0)


def test_a_line_is_a_row_of_the_docs() -> None:
    assert "| `rest` | `--rest` | 3 | 1 or more steps | steps between two breaks |" in table(More)


def test_a_line_is_checked() -> None:
    with pytest.raises(ConfigError, match="`rest` should be a positive integer; got 0"):
        More(rest=0)


def test_the_page_of_settings_is_current() -> None:
    assert settings_page.PAGE.read_text(encoding="utf-8") == settings_page.page(), "call `make settings`"


def test_help_explains_every_setting() -> None:
    text = inspect.getdoc(Settings) or ""
    assert all(f"    {name}: {known.help}." in text for name, known in settings_of(Settings).items())


def test_the_labs_controls_are_the_settings_that_have_one() -> None:
    shown = [
        name for place in ("control", "memory") for name, known in settings_of(Settings).items() if known.lab == place
    ]
    assert list(FineTuneLab.controls_offered) == shown and {"r", "steps", "batch_size"} < set(shown)


def test_none_can_be_said_where_there_is_no_none() -> None:
    state = {name: trait.default_value for name, trait in settings_state(Settings).class_traits(state=True).items()}
    assert settings_of_state(Settings, state) == Settings() and state["learning_rate"] == 0.0
    assert {option(known) for known in settings_of(Settings).values() if known.nothing is not None} == {
        "--lr", "--seed", "--reference-world",
    }  # fmt: skip
