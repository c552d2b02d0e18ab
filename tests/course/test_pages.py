"""What a page without a kernel is made of, without a browser: modules as one script, data, and apps of stored cells."""

import json
from base64 import b64decode

import nbformat
import pytest
import torch

from shira_lab.budget import max_r, num_params
from shira_lab.course import widgets
from shira_lab.course.lessons import lessons
from shira_lab.course.masks.heavy_tails import heavy_tailed_layer
from shira_lab.course.pages import positions_data
from shira_lab.course.pages.build import APPS, PREDICTION, PageApp, app_html, script, scripts_html, traits
from shira_lab.course.pages.bundle import bundled
from shira_lab.course.pages.mask_data import levels
from shira_lab.course.pages.positions_data import MAX_R
from shira_lab.course.pages.rank_data import SHAPES, _factors, _magnitudes
from shira_lab.course.pages.stored import app_of_cell
from shira_lab.course.questions import questions
from shira_lab.course.widgets import MaskExplorer, RankExplorer
from shira_lab.course.widgets.model_masks import ModelMasks
from shira_lab.errors import StorageError
from shira_lab.masks.scores import top_positions


def test_modules_are_called_after_those_that_they_import() -> None:
    text = bundled(
        {"b": 'import { one } from "./a.js";\nexport const two = one + 1;\n', "a": "export const one = 1;\n"}
    )
    assert text.index("modules.a = ") < text.index("modules.b = ")
    assert "const { one } = modules.a;" in text and "return { two };" in text
    assert "import" not in text and "export" not in text


@pytest.mark.parametrize(
    ("modules", "error"),
    [
        ({"a": 'import { x } from "./b.js";\n'}, "The modules import 'b.js', which is not among a."),
        ({"a": 'import * as b from "./a.js";\n'}, "Module 'a' has 'import * as b from \"./a.js\";'; expected"),
        ({"a": "export let b = 1;\n"}, "Module 'a' has 'export let b = 1;'; expected"),
    ],
)
def test_a_module_of_another_form_is_refused(modules: dict[str, str], error: str) -> None:
    with pytest.raises(StorageError) as refused:
        bundled(modules)
    assert str(refused.value).startswith(error)


def test_the_script_holds_no_module_and_asks_for_nothing() -> None:
    text = script()
    assert not [line for line in text.splitlines() if line.startswith(("import ", "export "))]
    assert "fetch(" not in text and "http://www.w3.org" in text and "https:" not in text


def test_a_level_is_the_smallest_r_whose_mask_has_the_entry() -> None:
    torch.manual_seed(0)
    masks = ModelMasks(torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.Linear(8, 4)))
    path = next(iter(masks.layers))
    found = levels(masks, path, "magnitude")
    explorer = MaskExplorer(torch.nn.Sequential(*masks.layers.values(), torch.nn.Linear(4, 4)), mask_type="magnitude")
    for r in range(1, max_r(masks.shape(path)) + 1):
        assert int((found <= r).sum()) == num_params(r, masks.shape(path))
        if explorer.shape == masks.shape(path):
            explorer.r = r
            assert (found <= r).nonzero().flatten().tolist() == explorer.positions.tolist()


def test_levels_and_orders_are_those_of_the_masks_also_among_equal_scores() -> None:
    score = torch.randint(0, 9, (80,), generator=torch.Generator().manual_seed(0)).float()
    found = positions_data.levels(score, k=3)
    assert positions_data.up_to_each_r(found) == [3 * r for r in range(1, MAX_R + 1)]
    for r in range(1, MAX_R + 1):
        assert (found < r).nonzero()[0].tolist() == top_positions(score, 3 * r).tolist()


def test_an_order_is_written_in_groups() -> None:
    order = positions_data.order_in_groups(torch.tensor([0.0, 5.0, 9.0, 0.0, 7.0, 0.0, 0.0, 8.0]), [3, 1, 0, 3])
    # The largest lies at 2, then come 4 and 7: there are 2, 4 and 2 entries before and between them.
    assert (order["ends"], order["bits"]) == ([1, 3], 1)
    assert b64decode(order["text"]) == bytes([0b100_1100_1, 0b00_000000])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sizes_of_a_drawn_weight_are_those_of_the_course(shape: tuple[int, int]) -> None:
    for seed in range(SHAPES[shape]):
        m, n = shape
        sizes = _magnitudes(seed).flatten()[: m * n].view(m, n)
        expected = heavy_tailed_layer(shape, 1.5, seed).weight.detach().abs()
        assert torch.equal(sizes * _factors(shape, 1.5, seed), expected)


def test_a_place_holds_the_state_and_a_text_for_where_no_script_runs() -> None:
    html = app_html(PageApp("RankExplorer", {"mask_types": "random, struct", "r": 2}))
    assert 'data-state="&#x27;mask_types=random, struct&#x27; r=2"' in html
    assert "RankExplorer: this app moves where scripts run." in html


def test_a_page_loads_the_data_of_its_apps_alone() -> None:
    html = scripts_html([PageApp("MaskExplorer"), PageApp("MaskOverlap"), PageApp("AdapterSwitcher")], "../apps")
    assert [part.split('"')[0] for part in html.split('src="')[1:]] == [
        "../apps/masks.js", "../apps/shelf.js", "../apps/apps.js",
    ]  # fmt: skip
    assert scripts_html([], "../apps") == ""


def test_the_state_of_a_page_is_that_of_the_notebooks_app() -> None:
    explorer = RankExplorer(mask_types="", r=3)
    names = [part.partition("=")[0].strip("'") for part in explorer.state_text().split()]
    assert [trait["name"] for trait in traits(RankExplorer)] == names
    explorer.close()


def stored() -> list[tuple[str, str, str]]:
    """Lesson, source and text of every app that the lessons have stored."""
    found = []
    for path in lessons():
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", ()):
                html, text = (output.get("data", {}).get(kind, "") for kind in ("text/html", "text/plain"))
                if "shira-still" in html:
                    found.append((path.name, cell.source, text))
    return found


def test_every_stored_app_is_known_or_needs_a_kernel() -> None:
    masks = ("full_rank", "drawn", "band", "my_always_full_rank", "with_diagonal")
    kernel = (*masks, "UpdateView", "FilmView", "MergeAndUndo", "WayRanks")
    for lesson, source, text in stored():
        if text.startswith(("The answer: ", f"{PREDICTION}: ")):
            continue
        app = app_of_cell(source, text)
        assert (app is None) == any(word in text for word in kernel), (lesson, text)
        if app is not None:
            known = {trait["name"] for trait in traits(getattr(widgets, app.name))}
            assert set(app.state) <= known | {"stories"}, (lesson, text)


def test_every_prediction_has_its_question_its_options_and_the_reasons() -> None:
    shown = [(source, text) for _, source, text in stored() if text.startswith(f"{PREDICTION}: ")]
    asked = [question for number, _ in enumerate(lessons(), 1) for question in questions(number)]
    assert len(shown) == len(asked)
    answers = {question.question: question.answer for question in asked}
    for source, text in shown:
        options = text.rpartition(" (")[2].removesuffix(")").split(" / ")
        app = app_of_cell(source, text, asked)
        assert app is not None and list(app.content["options"]) == options
        assert text.startswith(f"{PREDICTION}: {app.content['question']} (")
        assert json.loads(json.dumps(app.content))["answer"] == answers[app.content["question"]]


def test_the_apps_are_classes_of_the_course() -> None:
    assert all(traits(getattr(widgets, name)) for name in APPS)
