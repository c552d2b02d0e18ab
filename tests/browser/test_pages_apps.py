"""The apps of a page without a kernel say what the notebooks' apps say: opened from a folder, with no network."""

import json
import random
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import torch
from app_page import move, positions, put, said, settled, texts, words
from lesson import Lesson
from playwright.sync_api import Page, ViewportSize, expect
from torch import Tensor

from shira_lab.budget import max_r, num_params
from shira_lab.course.figures import training_svg
from shira_lab.course.figures.costs import costs_in_words
from shira_lab.course.figures.count import compared, count_in_words, sizes
from shira_lab.course.figures.fusion import losses_svg
from shira_lab.course.masks.drawn import drawn_positions
from shira_lab.course.masks.drawn_source import drawn_source
from shira_lab.course.pages import budget_data, positions_data
from shira_lab.course.pages.build import APPS, PageApp, app_html, scripts_html, write_files
from shira_lab.course.pages.mask_data import LIFT_STOPS, MAX_SEED, SAMPLES
from shira_lab.course.pages.rank_data import SCALE_STEP, SHAPES
from shira_lab.course.pages.recorded_data import comparison_data, fusion_data, shelf_data
from shira_lab.course.pages.recording import Recording
from shira_lab.course.pages.training_data import recordings
from shira_lab.course.speed import shipped
from shira_lab.course.widgets import (
    BudgetExplorer,
    CountAndClock,
    MaskExplorer,
    MaskOverlap,
    MaskPainter,
    PositionsExplorer,
    RankExplorer,
    UpdateView,
)
from shira_lab.course.widgets.mask_overlap import BESIDE, OVER
from shira_lab.course.widgets.paint_canvas import SIZE, drawing_text
from shira_lab.course.widgets.pictures import MaskCanvas
from shira_lab.course.widgets.texts import outcome_sentence, progress_sentence
from shira_lab.masks.calibration import calibrate
from shira_lab.masks.function import Statistic
from shira_lab.models.architectures import find_architecture, known_models
from shira_lab.models.hub import EMBEDDED, load_model
from shira_lab.training.history import History
from shira_lab.training.settings import Settings
from shira_lab.training.stories import Stories

pytestmark = pytest.mark.browser

STATES = 20
SAMPLES_OF_CHOICES = 8  # instead of the site's 128, which take long
MODELS = (EMBEDDED, "facebook/opt-125m")
SIZES = ((1280, 800), (1024, 640), (390, 844))
PAPER: ViewportSize = {"width": 680, "height": 1010}  # A4 without its margins


@pytest.fixture(scope="module")
def counted_once() -> Iterator[None]:
    """What pages and notebooks both ask for, and what takes long: activations of a model, and the calibration."""
    statistics: dict[str, dict[str, Tensor]] = {}

    def calibrated_once(*args: Any, collect: Statistic) -> dict[str, Tensor]:
        if collect not in statistics:
            statistics[collect] = calibrate(*args, collect=collect)
        return statistics[collect]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shira_lab.course.widgets.model_masks.calibrate", calibrated_once)
        found_once = cache(find_architecture)
        for module in ("shira_lab.course.pages.budget_data", "shira_lab.course.widgets.budget_explorer"):
            patch.setattr(f"{module}.find_architecture", found_once)
        yield


@pytest.fixture(scope="module")
def folder(counted_once: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one page of all apps, without what takes long: of the known models, it has the smallest."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget_data, "known_models", lambda: {name: known_models()[name] for name in MODELS[1:]})
        patch.setattr(positions_data, "SAMPLES", SAMPLES_OF_CHOICES)
        write_files(folder / "apps")
    apps = [PageApp(name) for name in APPS]
    places = "".join(f"<h2>{app.name}</h2>{app_html(app)}" for app in apps)
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    (folder / "index.html").write_text(f"{head}<title>apps</title>{places}{scripts_html(apps, 'apps')}", "utf-8")
    return folder


@pytest.fixture(scope="module")
def page(folder: Path, lesson: Lesson) -> Iterator[Page]:
    lesson.page.context.set_offline(True)
    lesson.page.goto((folder / "index.html").as_uri())
    yield lesson.page
    assert not lesson.complaints


@pytest.fixture(scope="module")
def embedded() -> Any:
    model, tokenizer = load_model()
    return model, list(Stories(Settings(world="sea"), tokenizer).samples(SAMPLES))


def mask_states(page: Page) -> Iterator[dict[str, Any]]:
    draw = random.Random(0)
    layers = page.evaluate("shiraData.masks.layers")
    for _ in range(STATES):
        path, layer = draw.choice(list(layers.items()))
        drawn = ("random", "struct", "block", "row_col", "columns")
        mask_type = draw.choice((*drawn, *layer["levels"], *layer["bits"]))
        r = draw.choice(LIFT_STOPS) if mask_type == "lift" else draw.randint(1, max_r(layer["shape"]))
        yield {"layer": path, "mask_type": mask_type, "r": r, "random_seed": draw.randint(0, MAX_SEED)}


def test_masks_are_those_of_python(page: Page, embedded: Any) -> None:
    model, calibration = embedded
    explorer, app = MaskExplorer(model, calibration=calibration), "MaskExplorer-1"
    for state in mask_states(page):
        move(page, app, **state)
        put(explorer, state)
        panel = explorer._panel
        assert positions(page, app) == explorer.positions.tolist(), state
        assert said(page, app, ".shira-status") == words(panel.status.value), state
        assert said(page, app, ".shira-facts") == words(panel.facts.value), state
        assert said(page, app, ".caption") == panel.mask.caption, state
        assert page.locator(f"#{app} .shira-mask").get_attribute("aria-label") == panel.mask.alt
        assert page.evaluate(f"shiraApps['{app}'].stateText") == explorer.state_text()
    explorer.close()


def overlap_states(page: Page) -> Iterator[dict[str, Any]]:
    draw, states = random.Random(1), list(mask_states(page))
    for first, second in zip(states, (*states[1:], states[0]), strict=True):
        if draw.random() < 0.7:  # else mostly of two shapes
            drawn, largest = draw.choice(("random", "block")), min(first["r"], 64)
            second = {**first, "mask_type": drawn, "r": draw.randint(1, largest)}
        pair = {f"{name}_{which}": state[name] for which, state in ((1, first), (2, second)) for name in state}
        yield {**pair, "seed_per_layer": draw.random() < 0.5, "view_as": draw.choice((OVER, BESIDE))}


def test_two_masks_share_what_they_share_in_python(page: Page, embedded: Any) -> None:
    model, calibration = embedded
    explorer, app = MaskOverlap(model, calibration=calibration), "MaskOverlap-1"
    for state in overlap_states(page):
        move(page, app, **state)
        put(explorer, state)
        shown = page.evaluate(f"JSON.stringify(shiraApps['{app}'].positions.map((one) => [...one]))")
        assert json.loads(shown) == [found.tolist() for found in explorer.positions]
        assert said(page, app, ".shira-status") == words(explorer.status.value), state
        assert said(page, app, ".shira-legend") == words(explorer._facts.value), state
        canvases = page.locator(f"#{app} .shira-mask:visible")
        drawn = [part for part in explorer._pictures.children if isinstance(part, MaskCanvas)]
        assert canvases.count() == len(drawn)
        for place, canvas in enumerate(drawn):
            assert canvases.nth(place).get_attribute("aria-label") == canvas.alt
    explorer.close()


def test_ranks_are_those_of_python(page: Page) -> None:
    explorer, app, draw = RankExplorer(), "RankExplorer-1", random.Random(2)
    seeds = {f"{m}x{n}": count for (m, n), count in SHAPES.items()}
    for _ in range(STATES):
        shape = draw.choice(list(seeds))
        known = ("random", "magnitude", "smallest", "columns", "struct", "block", "row_col")
        state = {
            "shape": shape,
            "mask_types": ", ".join(draw.sample(known, 2)),
            "r": draw.randint(1, 12),
            "column_scale": SCALE_STEP * draw.randint(0, 6),
            "random_seed": draw.randrange(seeds[shape]),
            "values_seed": draw.randint(0, 9),
        }
        move(page, app, **state)
        put(explorer, state)
        assert said(page, app, ".shira-table tbody") == words(explorer._table.value.partition("<tbody>")[2]), state
        assert said(page, app, ".shira-status") == words(explorer.status.value), state
        drawn = page.locator(f"#{app} .shira-spectrum").get_attribute("aria-label")
        assert drawn == explorer._plot.alt, state
    explorer.close()


def test_budgets_are_those_of_python(page: Page) -> None:
    explorer, app, draw = BudgetExplorer(model=MODELS[0]), "BudgetExplorer-1", random.Random(3)
    for _ in range(STATES):
        state = {
            "model": draw.choice(MODELS),
            "target_modules": draw.choice(("all-linear", "query-value", "attention", "feed-forward")),
            "r": draw.randint(1, 90),
            "batch_size": draw.randint(1, 64),
            "length": draw.randint(1, 4096),
            "dtype": draw.choice(("float32", "bfloat16")),
        }
        move(page, app, **state)
        put(explorer, state)
        tables = explorer._table.value, explorer._layers.value
        found = page.locator(f"#{app} .shira-table")
        for place, html in enumerate(tables):
            rows = html.partition("</caption>")[2]
            assert " ".join(found.nth(place).inner_text().split()) == words(rows), state
        assert said(page, app, ".shira-status") == words(explorer.status.value), state
        drawn = page.locator(f"#{app} svg[role=img]").get_attribute("aria-label")
        assert drawn == costs_in_words(explorer.costs), state
    explorer.close()


def choice_states() -> Iterator[dict[str, Any]]:
    draw = random.Random(5)
    for number in range(STATES):
        yield {
            "layer": draw.choice(positions_data.LAYERS),
            "score": draw.choice(("gradient", "snip", "gradient", "snip", "magnitude")),
            "samples": 2 ** draw.randint(0, 3),
            "reduction": draw.choice(("mean_abs", "abs_mean")),
            "r": (1, 5, 8, 16)[4 * number // STATES],  # the notebook's app forgets what it chose with another r
            "scope": draw.choice(("per layer", "global")),
        }


def test_choices_of_positions_are_those_of_python(page: Page) -> None:
    explorer = PositionsExplorer(*load_model(), calibration_samples=SAMPLES_OF_CHOICES)
    app = "PositionsExplorer-1"
    for state in choice_states():
        move(page, app, **state)
        put(explorer, state)
        assert positions(page, app) == explorer.positions.tolist(), state
        assert said(page, app, ".shira-status") == words(explorer.status.value), state
        assert said(page, app, ".shira-facts") == words(explorer._facts.value), state
        drawn = {".shira-mask": explorer._mask, ".shira-curves": explorer._curves, ".shira-bars": explorer._bars}
        for picture, widget in drawn.items():
            assert page.locator(f"#{app} {picture}").get_attribute("aria-label") == widget.alt, state
        bars = [f"{bar['count']:,}" for bar in explorer._bars.bars]
        assert page.locator(f"#{app} .shira-bars line + text").all_text_contents() == bars, state
        assert page.evaluate(f"shiraApps['{app}'].stateText") == explorer.state_text()
    explorer.close()


def drawings() -> Iterator[Tensor]:
    """A hundred: none, all, strokes, and random cells from few to many."""
    draw = torch.Generator().manual_seed(4)
    yield torch.zeros(SIZE, SIZE, dtype=torch.bool)
    yield torch.ones(SIZE, SIZE, dtype=torch.bool)
    for number in range(98):
        cells = torch.rand(SIZE, SIZE, generator=draw) < (number % 10 + 1) / 200
        if number % 3 == 0:
            cells[number % SIZE, : number % 7 * 4] = True
        yield cells


def test_a_drawing_becomes_the_mask_that_it_becomes_in_python(page: Page, embedded: Any) -> None:
    app, draw = "MaskPainter-1", random.Random(4)
    layers = page.evaluate("shiraData.masks.layers")
    asked, expected = [], []
    for cells in drawings():
        [path] = draw.choices(list(layers), weights=(4, 4, 1, 1))  # the large ones take their time
        shape = tuple(layers[path]["shape"])
        r, seed = draw.randint(1, max_r(shape)), draw.randint(0, MAX_SEED)
        asked.append({"drawing": drawing_text(cells), "layer": path, "r": r, "random_seed": seed})
        positions = drawn_positions(cells, shape, num_params(r, shape), seed)
        expected.append([digest(positions), drawn_source(cells, seed, "drawn", r)])
    found = page.evaluate(
        """([app, states]) => states.map((state) => {
            shiraApps[app].set(state);
            const { positions, source } = shiraApps[app];
            return [[positions.length, positions.reduce((sum, one, i) => (sum * 31 + one + i) % 1000003, 7)], source];
        })""",
        [app, asked],
    )
    assert found == expected


def digest(positions: Tensor) -> list[int]:
    """How many, and a number that hardly two lists of positions share; as the page computes it."""
    total = 7
    for place, position in enumerate(positions.tolist()):
        total = (total * 31 + position + place) % 1000003
    return [len(positions), total]


def test_a_painter_says_what_it_says_in_python(page: Page, embedded: Any) -> None:
    app, layer = "MaskPainter-1", "model.decoder.layers.1.self_attn.q_proj"
    painter = MaskPainter(embedded[0], layer=layer)
    for number, cells in enumerate(drawings()):
        if number % 25 == 0:
            state = {"drawing": drawing_text(cells), "layer": layer, "r": 4 + number, "random_seed": number}
            move(page, app, **state)
            put(painter, state)
            assert said(page, app, ".shira-status") == words(painter.status.value)
            assert said(page, app, ".shira-facts") == words(painter._panel.facts.value)
            assert page.evaluate(f"shiraApps['{app}'].stateText") == painter.state_text()
    painter.close()


def test_painting_with_the_keys_reaches_the_mask(page: Page) -> None:
    move(page, "MaskPainter-1", drawing="")
    page.locator("#MaskPainter-1 .shira-paint").focus()
    for key in ("ArrowRight", "ArrowDown", "Space"):
        page.keyboard.press(key)
    settled(page, "MaskPainter-1")
    assert "1 of 1,024 cells are painted." in said(page, "MaskPainter-1", ".shira-status")
    page.get_by_role("button", name="Clear").click()
    assert "Nothing is painted yet" in said(page, "MaskPainter-1", ".shira-status")


def shown_history(recording: Recording, step: int) -> History:
    """The recorded run as it was after so many steps."""
    whole = recording.history
    until = {
        name: [point for point in getattr(whole, name) if point.step <= step]
        for name in ("steps", "evals", "ranks", "pictures", "samples")
    }
    return replace(whole, **until)


def test_a_recording_is_played_as_it_was(page: Page) -> None:
    app, play = "FineTuneLab-1", "([app, i, step]) => shiraApps[app].set({ ...shiraData.trainings[i].state, step })"
    for place, recording in enumerate(recordings()):
        steps = len(recording.history.steps)
        for step in (0, steps // 3, steps // 2, steps - 1, steps):
            page.evaluate(play, [app, place, step])
            settled(page, app)
            history = shown_history(recording, step)
            sentence = outcome_sentence(history) if step == steps else progress_sentence(history)
            assert said(page, app, ".shira-status") == sentence
            charts = [unescape(name) for name in re.findall(r'aria-label="([^"]*)"', training_svg(history))]
            found = page.locator(f"#{app} .shira-chart")
            assert [found.nth(i).get_attribute("aria-label") for i in range(2)] == charts
            if history.pictures:
                assert words(UpdateView(history)._caption.value) in said(page, app, "p")
            made = f"made on {recording.day} ({recording.machine})" if recording.day else "were not kept"
            assert made in said(page, app, ".shira-note")


def test_run_plays_a_recording_to_its_end(page: Page) -> None:
    app = "FineTuneLab-1"
    page.evaluate("([app]) => shiraApps[app].set({ ...shiraData.trainings[0].state, step: 70, speed: 100 })", [app])
    page.locator(f"#{app}").get_by_role("button", name="Run").click()
    expect(page.locator(f"#{app} .shira-status")).to_contain_text("Finished after")
    assert "nothing is trained here" in said(page, app, ".shira-note")


def test_a_link_opens_every_app_as_it_was(page: Page, folder: Path) -> None:
    states = {
        "MaskExplorer-1": "layer=model.decoder.layers.1.fc1 mask_type=lift r=4 random_seed=0",
        "RankExplorer-1": "column_scale=1.5 'mask_types=random, block' r=3 random_seed=1 shape=192x192 values_seed=2",
        "FusionLab-1": "scale_1=0.5 scale_2=1.5",
    }
    address = (folder / "index.html").as_uri()
    page.goto(f"{address}#{'&'.join(f'{app}={quote(text)}' for app, text in states.items())}")
    page.reload()
    for app, text in states.items():
        settled(page, app)
        assert set(shlex.split(page.evaluate(f"shiraApps['{app}'].stateText"))) == set(shlex.split(text))
    assert RankExplorer.from_text(page.evaluate("shiraApps['RankExplorer-1'].stateText")).values_seed == 2
    page.locator("#FusionLab-1").get_by_role("button", name="Copy link").click()
    link = page.locator("#FusionLab-1 .shira-link").input_value()
    text = page.evaluate("shiraApps['FusionLab-1'].stateText")
    assert link == f"{address}#FusionLab-1={quote(text, safe='')}"


@pytest.mark.parametrize("hash", ["", "#a-heading", "#MaskExplorer-1=%E0%A4%A", "#MaskExplorer-1=r%3Dmany&Other-1=r"])
def test_an_address_that_says_nothing_leaves_the_usual_state(page: Page, folder: Path, hash: str) -> None:
    page.goto("about:blank")
    page.goto((folder / "index.html").as_uri() + hash)
    settled(page, "MaskExplorer-1")
    assert page.evaluate("shiraApps['MaskExplorer-1'].state.r") == MaskExplorer.r.default_value
    assert page.url.endswith(f"index.html{hash}")


def test_a_mask_of_the_learners_own_says_that_it_needs_a_kernel(page: Page) -> None:
    move(page, "MaskExplorer-1", mask_type="my_mask", r=8)
    said_so = said(page, "MaskExplorer-1", ".shira-status")
    assert said_so.startswith("mask_type=my_mask: this needs a kernel, which the page has not.")
    assert '"make lab"' in said_so and "Binder" in said_so


def test_keys_alone_move_a_slider_and_the_mask_follows(page: Page) -> None:
    move(page, "MaskExplorer-1", layer="", mask_type="random", r=8, random_seed=0)
    page.locator("#MaskExplorer-1 input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    settled(page, "MaskExplorer-1")
    assert len(positions(page, "MaskExplorer-1")) == num_params(9, (192, 192))
    assert "r%3D9" in page.url


def test_fused_scales_are_what_was_recorded(page: Page) -> None:
    recorded, app = fusion_data(), "FusionLab-1"
    before = None
    for moment in recorded["moments"]:
        first, second = moment["scales"]
        move(page, app, scale_1=first, scale_2=second)
        if before:
            drawn = losses_svg(moment["excess"], before["excess"], recorded["alone"], recorded["base"])
            assert page.locator(f"#{app} svg[role=img]").get_attribute("aria-label") in unescape(drawn)
        assert moment["text"] in texts(page, app, ".shira-cards section")[1]
        before = moment


def test_every_table_of_the_comparison_is_pythons(page: Page) -> None:
    app = "ComparisonTable-1"
    as_shown = "(html) => Object.assign(document.createElement('div'), { innerHTML: html }).innerHTML"
    for table in comparison_data()["tables"]:
        move(page, app, r=table["r"], measure=table["measure"])
        assert page.locator(f"#{app} .shira-comparison").inner_html() == page.evaluate(as_shown, table["html"])


def test_each_adapter_of_the_shelf_has_its_text(page: Page) -> None:
    for number, entry in enumerate(shelf_data()["texts"]):
        move(page, "AdapterSwitcher-1", number=number)
        assert said(page, "AdapterSwitcher-1", ".shira-cards") == " ".join(f"{entry['name']} {entry['text']}".split())


def test_costs_are_those_of_python_at_every_size(page: Page) -> None:
    growth = shipped()
    explorer, app = CountAndClock(growth), "CountAndClock-1"
    for size in sizes(growth):
        move(page, app, size=size)
        put(explorer, {"size": size})
        assert said(page, app, ".shira-status") == words(explorer.status.value)
        drawn = page.locator(f"#{app} svg[role=img]").get_attribute("aria-label")
        assert drawn == count_in_words(compared(growth, size))
        assert page.evaluate(f"shiraApps['{app}'].stateText") == explorer.state_text()
    explorer.close()


def test_a_page_fits_every_screen(page: Page) -> None:
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_printed_page_cuts_nothing_and_has_no_buttons(page: Page) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size(PAPER)
    cut = page.evaluate(
        """() => [...document.querySelectorAll(".shira-app *")].filter((part) =>
            part.getBoundingClientRect().right > innerWidth ||
            (part.scrollWidth > part.clientWidth + 1 && /auto|scroll|hidden/.test(getComputedStyle(part).overflowX))
        ).map((part) => `${part.closest(".shira-app").id}: ${part.tagName} ${part.getAttribute("class")}`)"""
    )
    assert cut == []
    assert page.locator(".shira-app button:visible, .shira-app input[type=range]:visible").count() == 0
    page.emulate_media(media="screen")
