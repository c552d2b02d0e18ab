"""The apps of a page, moved and read as a test does it, and the words of a notebook's app beside them."""

import json
import re
from html import unescape
from typing import Any

from playwright.sync_api import Page

from shira_lab.course.widgets.app import App


def settled(page: Page, app: str) -> None:
    page.wait_for_function(f"document.getElementById('{app}').dataset.settled === 'true'")


def move(page: Page, app: str, **state: Any) -> None:
    page.evaluate("([app, state]) => shiraApps[app].set(state)", [app, state])
    settled(page, app)


def texts(page: Page, app: str, selector: str) -> list[str]:
    return page.locator(f"#{app} {selector}").all_inner_texts()


def words(html: str) -> str:
    """The text of an HTML, its spaces as single ones."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def said(page: Page, app: str, selector: str) -> str:
    return " ".join(" ".join(texts(page, app, selector)).split())


def put(app: App, state: dict[str, Any]) -> None:
    """Give a notebook's app this state, in one move."""
    with app.hold_trait_notifications():
        for name, value in state.items():
            setattr(app, name, value)
    app._settle()


def positions(page: Page, app: str) -> list[int]:
    """Sent as one text: as single values they take several times as long."""
    return json.loads(page.evaluate(f"JSON.stringify([...shiraApps['{app}'].positions])"))
