"""The apps of the site: each stored app of a lesson moves, and three pages have all of them without a lesson."""

from collections.abc import Sequence

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from shira_lab.course.pages.build import PageApp, app_html, scripts_html
from shira_lab.course.pages.stored import app_of_cell
from shira_lab.course.questions import asked_in

#: Where the scripts and the data lie, from the root of the site.
FOLDER = "apps"
#: Pages of apps, each with the apps that stand on it: together they would be larger than a page should be.
PAGES = {
    "apps-masks": ("Apps on masks", ("MaskExplorer", "MaskOverlap", "MaskPainter")),
    "apps-budgets": ("Apps on budgets, ranks and costs", ("BudgetExplorer", "RankExplorer", "CountAndClock")),
    "apps-training": (
        "Apps on choices and training",
        ("PositionsExplorer", "FineTuneLab", "ComparisonTable", "FusionLab", "AdapterSwitcher"),
    ),
}


def move(lesson: NotebookNode) -> None:
    """Put an app that moves in the place of each stored one; what needs a kernel stays a picture."""
    apps, asked = [], asked_in(lesson)
    for cell in lesson.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "shira-still" not in data.get("text/html", ""):
                continue
            app = app_of_cell(cell.source, data["text/plain"], asked)
            if app:
                data["text/html"] = app_html(app)
                apps.append(app)
    if apps:
        lesson.cells.append(new_markdown_cell(scripts_html(apps, f"../{FOLDER}")))


def app_pages() -> dict[str, str]:
    """The pages of apps by name, as Markdown."""
    return {name: _page(title, [PageApp(app) for app in apps]) for name, (title, apps) in PAGES.items()}


def _page(title: str, apps: Sequence[PageApp]) -> str:
    places = "".join(f"## {app.name}\n\n{app_html(app)}\n\n" for app in apps)
    return f"# {title}\n\n{places}{scripts_html(apps, FOLDER)}\n"
