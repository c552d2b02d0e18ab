"""The budget explorer without a browser, its bars and its tables: every control changes what is shown, as it should."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from tiny import opt_config
from transformers import FalconConfig

from shira_lab.analysis.costs import Cost, in_units
from shira_lab.budget import max_r
from shira_lab.course.figures import costs_in_words, costs_svg
from shira_lab.course.tables import Table, as_html, as_text
from shira_lab.course.widgets import BudgetExplorer
from shira_lab.course.widgets.cost_tables import cost_rows, layer_rows
from shira_lab.errors import ConfigError, ShiraError
from shira_lab.models.architectures import GROUPS, find_architecture, known_models

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def explorer() -> Iterator[BudgetExplorer]:
    app = BudgetExplorer(model="embedded", r=8)
    yield app
    app.close()


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def shown(app: BudgetExplorer) -> tuple[str, ...]:
    return app._bars.value, app._table.value, app._layers.value, app.status.value


# ---- the app --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("control", "value", "parts"),
    [
        ("model", "facebook/opt-125m", "bars table layers status"),
        ("target_modules", "attention", "bars table layers status"),
        ("r", 9, "bars table layers status"),
        ("batch_size", 3, "bars table"),
        ("length", 100, "bars table"),
        ("dtype", "float32", "bars table"),
    ],
)
def test_every_control_changes_what_depends_on_it(
    explorer: BudgetExplorer, control: str, value: object, parts: str
) -> None:
    before = shown(explorer)
    explorer.controls[control].value = value
    assert getattr(explorer, control) == value
    names = ("bars", "table", "layers", "status")
    changed = [name for name, old, new in zip(names, before, shown(explorer), strict=True) if old != new]
    assert changed == parts.split()


def test_all_known_models_are_offered(explorer: BudgetExplorer) -> None:
    assert [value for _, value in explorer.controls["model"].options] == ["embedded", *known_models()]


def test_the_text_field_takes_a_folder(explorer: BudgetExplorer, tmp_path: Path) -> None:
    opt_config().save_pretrained(tmp_path)
    explorer.controls["other_model"].value = f" {tmp_path} "
    assert explorer.model == explorer.controls["model"].value == str(tmp_path)
    assert f"has {find_architecture(tmp_path).parameters:,} parameters" in explorer.status.value


def test_a_model_that_cannot_be_had_is_a_sentence(explorer: BudgetExplorer, no_hub: None) -> None:
    explorer.controls["other_model"].value = "someone/tales"
    assert "is neither a folder nor in the local cache" in explorer.status.value
    assert explorer._bars.value == explorer._table.value == explorer._layers.value == ""
    assert repr(explorer).startswith("BudgetExplorer(model=someone/tales): 'someone/tales' is neither a folder nor")
    with pytest.raises(ShiraError):
        _ = explorer.costs
    explorer.controls["model"].value = "embedded"
    assert "embedded has 2,028,864 parameters" in explorer.status.value


def test_it_starts_without_its_model_too(no_hub: None) -> None:
    app = BudgetExplorer(model="someone/tales")
    assert "is neither a folder nor in the local cache" in app.status.value
    app.r = 11
    app.model = "embedded"
    assert app.r == 11 and "r = 11" in app.status.value
    app.close()


def test_a_model_whose_activations_cannot_be_counted_is_a_sentence(explorer: BudgetExplorer, tmp_path: Path) -> None:
    FalconConfig(num_hidden_layers=3, hidden_size=32, num_attention_heads=4, vocab_size=50).save_pretrained(tmp_path)
    explorer.model, explorer.r = str(tmp_path), 2
    assert "cannot be counted without its weights" in explorer.status.value
    assert explorer.costs["SHiRA"].activations == 0 and "<svg" in explorer._bars.value


def test_the_slider_ends_at_the_largest_r_that_is_legal_in_all_layers(explorer: BudgetExplorer) -> None:
    assert explorer.controls["r"].max == explorer.largest_r == max_r((192, 192))
    explorer.target_modules = "feed-forward"
    assert explorer.controls["r"].max == max_r((192, 768))
    explorer.r = max_r((192, 768))
    explorer.target_modules = "attention"
    assert explorer.r == explorer.controls["r"].max == max_r((192, 192))


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("r", 97, "r=97 is too large for layer 'model.decoder.layers.0.self_attn.k_proj'"),
        ("r", 0, "`r` should be a positive integer"),
        ("dtype", "int3", "`dtype='int3'` is unknown; there are float32, bfloat16."),
    ],
)
def test_a_state_that_cannot_be_is_refused_with_a_reason(
    explorer: BudgetExplorer, trait: str, value: object, message: str
) -> None:
    before = explorer.state()
    with pytest.raises(ConfigError, match=re.escape(message)):
        setattr(explorer, trait, value)
    assert explorer.state() == before


def test_layers_can_be_named(explorer: BudgetExplorer) -> None:
    explorer.target_modules = "q_proj, fc1"
    assert {path.rsplit(".", 1)[-1] for path in explorer.shapes} == {"q_proj", "fc1"}
    explorer.target_modules = "c_attn"
    assert "not found in the base model" in explorer.status.value


def test_the_state_survives_as_text(explorer: BudgetExplorer) -> None:
    explorer.target_modules, explorer.r, explorer.length = "q_proj, v_proj", 5, 64
    again = BudgetExplorer.from_text(explorer.state_text())
    assert again.state() == explorer.state() and again.costs == explorer.costs
    again.close()


def test_the_seven_billion_example_of_the_specification() -> None:
    app = BudgetExplorer(model="meta-llama/Llama-2-7b-hf", target_modules="attention", r=32)
    assert repr(app).startswith(
        "BudgetExplorer(model=meta-llama/Llama-2-7b-hf, target_modules=attention, r=32): "
        "33,554,432 trainable parameters."
    )
    app.close()


def test_it_shows_bars_and_reads_as_text_without_a_kernel(explorer: BudgetExplorer) -> None:
    bundle = explorer._repr_mimebundle_()
    assert bundle["image/svg+xml"] == costs_svg(explorer.costs)
    assert bundle["text/plain"].endswith(costs_in_words(explorer.costs))


def test_controls_can_be_hidden() -> None:
    app = BudgetExplorer(model="embedded", show=("r",))
    assert app.view.children[0].children == (app.controls["r"],)
    app.close()


# ---- bars and tables ------------------------------------------------------------------------------------------------

COSTS = {
    "SHiRA": Cost(10, 1000, 60, 40, 80, 20, 120, 50),
    "LoRA": Cost(10, 1000, 40, 40, 80, 40, 40, 40),
    "full": Cost(500, 2000, 0, 2000, 4000, 50, 1000, 1000),
}


def rectangles(costs: dict[str, Cost]) -> list[dict[str, str]]:
    return [node.attrib for node in ElementTree.fromstring(costs_svg(costs)).iter(f"{SVG}rect")]


def test_bars_are_as_long_as_their_costs() -> None:
    bars = [bar for bar in rectangles(COSTS) if bar["height"] == "24"]
    widths = [float(bar["width"]) for bar in bars]
    parts = [getattr(cost, part) for cost in COSTS.values() for part in
             ("weights", "adapter", "gradients", "optimizer", "activations")]  # fmt: skip
    scale = max(cost.memory for cost in COSTS.values()) / sum(widths[10:15])
    assert [round(width * scale, -1) for width in widths[:15]] == [pytest.approx(part, abs=10) for part in parts]
    files = [width * 120 / widths[15] for width in widths[15:]]
    assert files == pytest.approx([120, 50, 40], rel=0.01)


@pytest.mark.parametrize("size", [1, 7, 999, 10**6, 3 * 10**9, 9_999_999_999, 10**12])
def test_labels_stay_inside_the_picture(size: int) -> None:
    root = ElementTree.fromstring(
        costs_svg({"SHiRA": Cost(*[size] * 8), "LoRA": Cost(*[size] * 8), "full": COSTS["full"]})
    )
    width, height = (float(number) for number in root.attrib["viewBox"].split()[2:])
    for text in root.iter(f"{SVG}text"):
        longest = 7.5 * len(text.text or "")
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        right = x + {"end": 0.0, "middle": longest / 2, "start": longest}[text.attrib.get("text-anchor", "start")]
        assert 0 <= x <= right <= width and 0 < y <= height, text.text
    assert root.attrib["role"] == "img" and root.attrib["aria-label"].startswith("Memory to train: SHiRA")


def test_the_table_of_costs_holds_each_of_them() -> None:
    rows = cost_rows(COSTS, 500)
    table = {row[0]: row[1:] for row in rows}
    assert table[""] == ("SHiRA", "LoRA", "full") and table["trainable parameters"] == ("10", "10", "500")
    assert table["share of the model"] == ("2.00%", "2.00%", "100.00%")
    assert table["memory to train"] == tuple(in_units(cost.memory) for cost in COSTS.values())
    assert table["file, PEFT's layout"] == ("120 bytes", "40 bytes", "1.0 kB")


def test_layers_are_grouped_and_say_what_r_they_can_have() -> None:
    shapes = {"a.0.q": (100, 100), "a.1.q": (100, 100), "a.0.up": (400, 100), "a.0.tiny": (8, 8)}
    assert layer_rows(shapes, 4)[1:] == [
        ("2 x q", "100 x 100", "800", "8.00%", "50", "5"),
        ("1 x up", "400 x 100", "2,000", "5.00%", "80", "8"),
        ("1 x tiny", "8 x 8", "64", "100.00% (above 10%)", "4", "none"),
    ]


def test_the_largest_r_within_the_advice_is_within_it_and_the_next_is_not() -> None:
    for group in GROUPS:
        shapes = find_architecture("gpt2").shapes(group)
        for row in layer_rows(shapes, 1)[1:]:
            m, n = (int(part) for part in row[1].replace(",", "").split(" x "))
            within = int(row[5])
            assert within * (m + n) * 10 <= m * n < (within + 1) * (m + n) * 10


def test_tables_are_aligned_as_text_and_have_headers_as_html() -> None:
    rows = [("", "one"), ("first", "2"), ("b", "1,000")]
    assert as_text(rows) == "         one\nfirst      2\nb      1,000"
    html = as_html([("", "<one>"), ("a", "2")], "What & why")
    assert html.count('scope="col"') == 2 and html.count('scope="row"') == 1
    assert "&lt;one&gt;" in html and "What &amp; why" in html
    assert Table(rows)._repr_mimebundle_() == {"text/html": as_html(rows), "text/plain": as_text(rows)}
    assert "<caption" not in as_html(rows)
