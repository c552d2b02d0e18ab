"""A lesson in JupyterLab, driven as a learner drives it, with an eye on everything that should not happen."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlparse

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, expect

LAB_SECONDS, RUN_SECONDS = 120, 600
TO_RUN = re.compile(r"\[[ *]\]:")  # the prompt of a cell that waits or runs
ERRORS = '[data-mime-type="application/vnd.jupyter.error"], [data-mime-type="application/vnd.jupyter.stderr"]'


@dataclass
class Lesson:
    """One notebook in one page.

    Attributes:
        complaints: errors of the page's scripts, and requests to other machines.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))
        self.page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _asked(self, request: Request) -> None:
        address = urlparse(request.url)
        if address.scheme not in ("data", "blob", "file") and address.hostname != "127.0.0.1":
            self.complaints.append(f"asked another machine: {request.url}")

    def open(self, address: str, code_cells: int) -> None:
        self.page.goto(address)
        expect(self.cells).to_have_count(code_cells, timeout=1000 * LAB_SECONDS)
        expect(self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible(
            timeout=1000 * LAB_SECONDS
        )

    @property
    def cells(self) -> Locator:
        return self.page.locator(".jp-CodeCell")

    def cell_of(self, text: str) -> Locator:
        """The code cell whose source holds the text."""
        return self.cells.filter(has=self.page.locator(".jp-InputArea", has_text=text)).first

    def run_all(self) -> None:
        """JupyterLab drops the command while it is still connecting to the kernel, so it is given until it is taken."""
        first = self.cells.first.locator(".jp-InputPrompt")
        while first.inner_text() == "[ ]:":
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            self.page.wait_for_timeout(1000)
        # Not by the last cell's number: on a busy machine a command may be taken twice.
        expect(self.page.locator(".jp-CodeCell .jp-InputPrompt", has_text=TO_RUN)).to_have_count(
            0, timeout=1000 * RUN_SECONDS
        )

    def tracebacks(self) -> list[str]:
        return self.page.locator(ERRORS).all_inner_texts()
