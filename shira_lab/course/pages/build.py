"""Writes what the apps of a page need, and the HTML that holds their places."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import traitlets

from shira_lab.course import widgets
from shira_lab.course.pages.budget_data import budget_data
from shira_lab.course.pages.bundle import bundled
from shira_lab.course.pages.mask_data import mask_data
from shira_lab.course.pages.painter_data import painter_data
from shira_lab.course.pages.positions_data import positions_data
from shira_lab.course.pages.rank_data import rank_data
from shira_lab.course.pages.recorded_data import comparison_data, fusion_data, shelf_data
from shira_lab.course.pages.speed_data import speed_data
from shira_lab.course.pages.training_data import training_data

STATIC = files("shira_lab.course.pages") / "static"
WIDGETS = files("shira_lab.course.widgets") / "static"
#: The apps of a page, and the data that each needs.
APPS: Mapping[str, tuple[str, ...]] = {
    "MaskExplorer": ("masks",),
    "MaskOverlap": ("masks",),
    "MaskPainter": ("masks", "painter"),
    "BudgetExplorer": ("budgets",),
    "RankExplorer": ("ranks",),
    "PositionsExplorer": ("positions",),
    "FineTuneLab": ("trainings",),
    "ComparisonTable": ("comparison",),
    "FusionLab": ("fusion",),
    "AdapterSwitcher": ("shelf",),
    "CountAndClock": ("speed",),
}
#: An app with a content of its own, which stands in a lesson alone.
PREDICTION = "Prediction"
#: What makes each of these data.
DATA: Mapping[str, Callable[[], Any]] = {
    "masks": mask_data,
    "painter": painter_data,
    "budgets": budget_data,
    "ranks": rank_data,
    "positions": positions_data,
    "trainings": training_data,
    "comparison": comparison_data,
    "fusion": fusion_data,
    "shelf": shelf_data,
    "speed": speed_data,
}
_KINDS = {traitlets.Bool: "bool", traitlets.Float: "float", traitlets.Int: "int"}


@dataclass(frozen=True)
class PageApp:
    """An app on a page: the class it has in a notebook, and its state, as far as it is not the usual one.

    Attributes:
        name: one of ``APPS``.
        state: values by name, as in the class's ``state()``.
        content: what the app is about, where its class does not say: question, options and answer of a prediction.
    """

    name: str
    state: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state_text(self) -> str:
        """The state as one line, as the class's ``state_text()`` writes it."""
        return text_of(self.state)


def write_files(folder: Path) -> None:
    """Write the scripts, the styles and the data of all apps into the folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "apps.js").write_text(script(), encoding="utf-8")
    (folder / "apps.css").write_text(styles(), encoding="utf-8")
    for name, make in DATA.items():
        text = json.dumps(make(), ensure_ascii=False, separators=(",", ":"))
        (folder / f"{name}.js").write_text(f"(window.shiraData ??= {{}}).{name} = {text};\n", encoding="utf-8")


def app_html(app: PageApp) -> str:
    """The place of one app on a page, with a text for where no script runs."""
    said = f"<p>{app.name}: this app moves where scripts run.</p>"
    data = {"app": app.name, "state": app.state_text, "content": json.dumps(app.content)}
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    return f'<div class="shira-app"{attributes}>{said}</div>'


def scripts_html(apps: Sequence[PageApp], address: str) -> str:
    """The styles and scripts that these apps need, for the end of their page.

    Args:
        address: of the folder that :func:`write_files` wrote, from the page; such as "../apps".
    """
    if not apps:
        return ""
    data = dict.fromkeys(name for app in apps for name in APPS.get(app.name, ()))
    scripts = "".join(f'<script defer src="{address}/{name}.js"></script>' for name in (*data, "apps"))
    return f'<link rel="stylesheet" href="{address}/apps.css">{scripts}'


def script() -> str:
    """All modules as one classic script, which starts the apps of its page."""
    pictures = {path.name.removesuffix(".js"): path for path in WIDGETS.iterdir() if path.name.endswith(".js")}
    own = {path.name.removesuffix(".js"): path for path in STATIC.iterdir() if path.name.endswith(".js")}
    modules = bundled({name: path.read_text(encoding="utf-8") for name, path in (pictures | own).items()})
    specs = {name: {"traits": traits(getattr(widgets, name))} for name in (*APPS, PREDICTION)}
    start = (
        f"const widgets = {{ {', '.join(f'{name}: modules.{name}' for name in sorted(pictures))} }};\n"
        f"window.shiraApps = modules.main.start({{ specs: {json.dumps(specs)}, data: window.shiraData, widgets }});\n"
    )
    return f'(() => {{\n"use strict";\n{modules}{start}}})();\n'


def styles() -> str:
    """The styles of pictures and apps, in one file."""
    found = [path for folder in (WIDGETS, STATIC) for path in folder.iterdir() if path.name.endswith(".css")]
    return "".join(path.read_text(encoding="utf-8") for path in sorted(found, key=lambda path: path.name))


def traits(app: type[traitlets.HasTraits]) -> list[dict[str, Any]]:
    """The state of a class of apps, in the order of its ``state_text()``: name, kind and usual value of each trait."""
    return [
        {"name": name, "kind": _KINDS.get(type(trait), "str"), "value": trait.default()}
        for name, trait in app.class_traits(state=True).items()
    ]


def text_of(state: Mapping[str, Any]) -> str:
    """A state as :meth:`~shira_lab.course.widgets.app.App.state_text` writes it."""
    return shlex.join(f"{name}={value}" for name, value in state.items())
