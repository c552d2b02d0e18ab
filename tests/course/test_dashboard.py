"""The dashboard: every tab shows its app, made when it is opened and closed with the page."""

from collections.abc import Iterator

import pytest

from shira_lab.course.widgets import Dashboard
from shira_lab.course.widgets.dashboard import TABS
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
