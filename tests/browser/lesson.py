"""A lesson in JupyterLab, driven as a learner drives it, with an eye on everything that should not happen."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlparse

from playwright.sync_api import ConsoleMessage, ElementHandle, Locator, Page, Request, TimeoutError, expect

LAB_SECONDS, RUN_SECONDS = 120, 600
TO_RUN = re.compile(r"\[[ *]\]:")  # the prompt of a cell that waits or runs
ERRORS = '[data-mime-type="application/vnd.jupyter.error"], [data-mime-type="application/vnd.jupyter.stderr"]'
CONTROLS = ".jp-OutputArea :is(input[type=range], input[type=number], input[type=checkbox], select):not([disabled])"
COLOURS = """canvas => {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
}"""
MARKS = "svg => svg.querySelectorAll('polyline, path, rect, circle, line').length"


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
        """JupyterLab drops the command while it is still connecting to the kernel, so it is given until it is taken.

        Before there is a kernel, the command makes it ask for one: the usual one is taken.
        """
        first = self.cells.first.locator(".jp-InputPrompt")
        asks = self.page.locator(".jp-Dialog button[aria-label='Select Kernel']")
        while first.inner_text() == "[ ]:":
            if asks.is_visible():
                asks.click()
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            self.page.wait_for_timeout(1000)
        # Not by the last cell's number: on a busy machine a command may be taken twice.
        expect(self.page.locator(".jp-CodeCell .jp-InputPrompt", has_text=TO_RUN)).to_have_count(
            0, timeout=1000 * RUN_SECONDS
        )

    def tracebacks(self) -> list[str]:
        return self.page.locator(ERRORS).all_inner_texts()

    def check_pictures(self) -> None:
        """Each figure, canvas and drawing shows something."""
        for figure in self.page.locator(".js-plotly-plot").all():
            figure.scroll_into_view_if_needed()
            drawn = ":is(.scatterlayer .trace, .heatmaplayer .hm, .barlayer .point)"
            expect(figure.locator(drawn).first).to_be_attached()
        for canvas in self.page.locator(".jp-OutputArea canvas:visible").all():
            assert canvas.evaluate(COLOURS) > 1
        for plot in self.page.locator(".jp-OutputArea svg[role=img]").all():
            assert plot.evaluate(MARKS) > 1

    def move_every_control(self) -> None:
        """Give each control another value, and wait until the kernel rests."""
        # The elements themselves, not their places in the page: one control may show, hide or disable others.
        for control in self.page.locator(CONTROLS).element_handles():
            if control.is_visible() and control.is_enabled():
                try:
                    control.scroll_into_view_if_needed()
                    _move(control)
                except TimeoutError:
                    movable = control.is_visible() and control.is_enabled()
                    assert not movable, f"{control.evaluate('node => node.outerHTML')} does not move"
        expect(self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible(timeout=60_000)

    def too_wide(self) -> list[str]:
        """How the outputs begin that are wider than their place."""
        found: list[str] = self.page.locator(".jp-OutputArea-child").evaluate_all(
            "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent.slice(0, 80))"
        )
        return found


def _move(control: ElementHandle) -> None:
    """Another value, by the keyboard for what has one: the next option, a step up, the other state."""
    kind = control.evaluate("node => node.type")
    if kind == "select-one":
        last = control.evaluate("node => node.selectedIndex == node.options.length - 1")
        control.press("ArrowUp" if last else "ArrowDown")
    elif kind == "checkbox":
        control.click()
    else:
        control.focus()
        control.press("ArrowUp")
        if kind == "number":
            control.press("Enter")
