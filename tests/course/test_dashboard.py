"""The dashboard: every tab shows its app, made when it is opened and closed with the page."""

from collections.abc import Iterator

import pytest

from shira_lab.course.questions import questions
from shira_lab.course.widgets import Dashboard
from shira_lab.course.widgets.dashboard import TABS
from shira_lab.course.widgets.presenter import ALONE
from shira_lab.errors import ConfigError


@pytest.fixture
def dashboard() -> Iterator[Dashboard]:
    app = Dashboard()
    yield app
    app.close()


def test_the_first_tab_is_there_at_once_and_no_other(dashboard: Dashboard) -> None:
    assert list(dashboard.apps) == [next(iter(TABS))] == [dashboard.tab]


def test_a_tab_makes_its_app_when_it_is_opened(dashboard: Dashboard) -> None:
    for place, title in enumerate(TABS):
        dashboard._tabs.selected_index = place
        assert dashboard.tab == title
        assert dashboard._tabs.children[place].children == (dashboard.apps[title].view,)


def test_a_tab_is_made_once(dashboard: Dashboard) -> None:
    first = dashboard.apps[dashboard.tab]
    dashboard.tab = "Ranks"
    dashboard.tab = next(iter(TABS))
    assert dashboard.apps[dashboard.tab] is first and dashboard._tabs.selected_index == 0


def test_a_tab_that_is_not_there_is_refused(dashboard: Dashboard) -> None:
    with pytest.raises(ConfigError, match=r"`tab='Chairs'` is unknown; there are Masks, "):
        dashboard.tab = "Chairs"


def test_a_presenter_goes_on_and_back_and_stops_at_both_ends(dashboard: Dashboard) -> None:
    first, second, *_ = TABS
    dashboard.presenting = True
    for button, tab in (("on", second), ("back", first), ("back", first)):
        getattr(dashboard._presenter, button).click()
        assert dashboard.tab == tab
    assert dashboard._presenter.title.value == f"<strong>{first} (1 of {len(TABS)})</strong>"


def test_a_clickers_keys_do_the_same(dashboard: Dashboard) -> None:
    dashboard._presenter.keys._handle_custom_msg(1, [])
    assert dashboard.tab == list(TABS)[1]


def test_one_app_alone_is_shown_to_a_class_with_the_questions_of_its_lesson(dashboard: Dashboard) -> None:
    assert dashboard.votes == {} and ALONE not in dashboard._tabs._dom_classes
    dashboard.presenting = True
    vote = dashboard.votes[dashboard.tab]
    assert vote.questions == questions(2) and dashboard._presenter._vote.children == (vote.view,)
    assert ALONE in dashboard._tabs._dom_classes and dashboard._presenter.keys.listening
    dashboard.presenting = False
    assert dashboard._presenter._vote.children == () and not dashboard._presenter.keys.listening


def test_every_tab_has_a_question() -> None:
    assert all(questions(tab.lesson) for tab in TABS.values())


def test_the_link_opens_the_page_as_it_stands(dashboard: Dashboard) -> None:
    dashboard.tab = "Budgets"
    dashboard.apps["Budgets"].set_trait("r", 5)
    dashboard.presenting = True
    link = dashboard._presenter.link.value
    assert link == dashboard.link_text() and "r%3D5" in link and link.endswith("&presenting=True&tab=Budgets")
    again = Dashboard.from_link(link.removeprefix("?"))
    assert again.state() == dashboard.state() and again.apps["Budgets"].state() == dashboard.apps["Budgets"].state()
    again.close()


def test_an_empty_link_gives_the_usual_page_and_a_wrong_one_is_refused() -> None:
    usual = Dashboard.from_link("")
    assert usual.tab == next(iter(TABS)) and not usual.presenting
    usual.close()
    with pytest.raises(
        ConfigError, match=r"'chair=3' is no part of a Dashboard's state; known are app, presenting, tab"
    ):
        Dashboard.from_link("chair=3")
    with pytest.raises(ConfigError, match="'chair=3' is no part of a RankExplorer's state"):
        Dashboard.from_link("tab=Ranks&app=chair%3D3")
