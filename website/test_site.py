"""The site in Chromium, from its folder, with the network off: `make sitetest` builds it and calls these tests."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from links import ROOT
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.slider import browser_path

SITE = ROOT / "build" / "site"
PAGES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
SIZES = ((1280, 800), (1024, 640), (390, 844))
MOST_BYTES = 3_000_000
#: What axe finds, as one line each. It would fetch style sheets again to look into them, which no file may do.
LOOK = """async () => (await axe.run({preload: false})).violations
    .filter(found => ["serious", "critical"].includes(found.impact))
    .flatMap(found => found.nodes.map(node => `${found.id}: ${node.html.slice(0, 200)}`))"""
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")

every_page = pytest.mark.parametrize("name", PAGES)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=browser_path(), chromium_sandbox=False, args=["--disable-gpu"])


class Visit:
    """A page of the site, and what it asked for or complained of."""

    def __init__(self, browser: Browser, scheme: str) -> None:
        self.page: Page = browser.new_context(offline=True, color_scheme=scheme, reduced_motion="reduce").new_page()
        self.trouble: list[str] = []
        self.bytes = 0
        self.page.on("console", lambda said: self.trouble.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", lambda request: self._requested(request.url))

    def _requested(self, address: str) -> None:
        if address.startswith("file:"):
            self.bytes += Path(unquote(urlsplit(address).path)).stat().st_size
        elif not address.startswith("data:"):
            self.trouble.append(address)

    def open(self, name: str) -> Page:
        self.trouble.clear()
        self.bytes = 0
        self.page.goto((SITE / name).as_uri())
        return self.page


@pytest.fixture(scope="module", params=["light", "dark"])
def visit(browser: Browser, request: pytest.FixtureRequest) -> Visit:
    return Visit(browser, request.param)


def test_there_is_a_site() -> None:
    assert len(list((SITE / "notebooks").glob("*.html"))) == len(list((ROOT / "notebooks").glob("*.ipynb")))


@every_page
def test_a_page_is_whole_without_a_network_and_for_everyone(visit: Visit, name: str) -> None:
    page = visit.open(name)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"scrolls sideways at {width}"
    assert page.get_attribute("html", "lang") == "en" and page.title()
    page.evaluate(AXE)
    assert page.evaluate(LOOK) == []
    assert not visit.trouble
    assert visit.bytes <= MOST_BYTES


def test_the_search_finds_a_word_without_a_server(visit: Visit) -> None:
    page = visit.open("index.html")
    page.fill("input[name=q]", "bipartite matching")
    page.press("input[name=q]", "Enter")
    page.wait_for_selector("#search-results ul.search a")
    assert "04-rank.html" in page.content() and not visit.trouble


def test_a_link_leads_to_a_page_or_a_place_of_the_site(visit: Visit) -> None:
    page = visit.open("index.html")
    for name in PAGES:
        page.goto((SITE / name).as_uri())
        for address in page.evaluate("[...document.links].map(link => link.href)"):
            path = Path(unquote(urlsplit(address).path))
            assert not address.startswith("file:") or path.is_file(), f"{name} leads to {address}"


def test_hints_and_solutions_are_folded_and_open_by_the_keyboard(visit: Visit) -> None:
    page = visit.open("notebooks/01-start-here.html")
    solution = page.locator("details", has=page.get_by_text("Solution", exact=True)).first
    assert not solution.locator("pre").is_visible()
    solution.locator("summary").focus()
    page.keyboard.press("Enter")
    assert solution.locator("pre").is_visible() and "def full_rank" in solution.inner_text()
