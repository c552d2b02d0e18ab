"""The lesson on masks in a real browser: margins and overlaps follow their controls, and a mask is painted."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from lab_server import ROOT
from lesson import Lesson
from playwright.sync_api import Locator, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

NAME = "02-masks.ipynb"
PIXELS = """(canvas, colour) => {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) count += colour.every((value, part) => data[at + part] === value);
    return count;
}"""
BLUE, ORANGE, BLACK = [0x00, 0x72, 0xB2], [0xE6, 0x9F, 0x00], [0, 0, 0]


@pytest.fixture(scope="module", autouse=True)
def masks_lesson(lesson: Lesson, lab_address: str) -> None:
    cells = nbformat.read(ROOT / "notebooks" / NAME, as_version=4).cells
    lesson.open(lab_address.format(NAME), sum(cell.cell_type == "code" for cell in cells))
    lesson.run_all()


@pytest.fixture(autouse=True)
def picture(request: pytest.FixtureRequest, lesson: Lesson, pictures: Path | None) -> Iterator[None]:
    yield
    if pictures:
        lesson.page.screenshot(path=pictures / f"{request.node.name}.png")


def app(lesson: Lesson, source: str) -> Locator:
    found = lesson.cell_of(source)
    found.locator(".jp-OutputArea").scroll_into_view_if_needed()
    found.locator("canvas").first.scroll_into_view_if_needed()
    return found


def count(canvas: Locator, colour: list[int]) -> int:
    return int(canvas.evaluate(PIXELS, colour))


def cell(canvas: Locator, row: float, column: float) -> dict[str, float]:
    """Where the centre of a cell of the drawing is, from the canvas's corner."""
    box = canvas.bounding_box()
    assert box
    return {"x": (column + 0.5) / 32 * box["width"], "y": (row + 0.5) / 32 * box["height"]}


def test_all_cells_run_without_a_traceback_or_a_warning(lesson: Lesson) -> None:
    assert lesson.tracebacks() == []


def test_every_picture_shows_something(lesson: Lesson) -> None:
    for canvas in lesson.page.locator("canvas.shira-mask:visible").all():
        assert count(canvas, BLUE) + count(canvas, BLACK) > 0
    for bars in lesson.page.locator("svg.shira-strip:visible .bars").all():
        assert bars.get_attribute("d")


def test_empty_rows_are_marked_until_r_leaves_none(lesson: Lesson) -> None:
    explorer = app(lesson, "explorer = MaskExplorer")
    empty, slider = explorer.locator("svg.rows .empty"), explorer.get_by_label("r", exact=True)
    assert (empty.get_attribute("d") or "").count("M") == 27
    slider.focus()
    for _ in range(2):
        slider.press("ArrowRight")
    expect(explorer.get_by_role("status")).to_contain_text("r(m + n) = 3 *")
    expect(empty).to_have_attribute("d", "")
    expect(explorer.get_by_label("density 3.12%")).to_be_visible()


def test_the_other_controls_of_the_explorer_redraw_it(lesson: Lesson) -> None:
    explorer = app(lesson, "explorer = MaskExplorer")
    explorer.get_by_label("mask_type").select_option("struct")
    expect(explorer.locator("canvas")).to_have_attribute("aria-label", re.compile(r"0 rows and 0 columns have none\.$"))
    explorer.get_by_label("layer").select_option(label="model.decoder.layers.1.fc1 (768 x 192)")
    expect(explorer.locator("canvas")).to_have_attribute("aria-label", re.compile("^Mask of a 768 x 192 weight"))
    explorer.get_by_label("mask_type").select_option("random")
    before = explorer.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    explorer.get_by_label("random_seed").fill("5")
    explorer.get_by_label("random_seed").press("Tab")
    expect(explorer.locator("svg.rows")).to_be_visible()
    lesson.page.wait_for_function(
        "([canvas, before]) => canvas.toDataURL() !== before",
        arg=[explorer.locator("canvas").element_handle(), before],
    )


def test_another_seed_takes_the_small_mask_out_of_the_large_one(lesson: Lesson) -> None:
    overlap = app(lesson, "nested = MaskOverlap")
    canvas, status = overlap.locator("canvas:visible"), overlap.get_by_role("status")
    expect(status).to_contain_text("Mask 1 lies inside mask 2.")
    assert (count(canvas, BLUE), count(canvas, ORANGE), count(canvas, BLACK)) == (0, 384, 384)
    overlap.get_by_label("random_seed_2").fill("1")
    overlap.get_by_label("random_seed_2").press("Tab")
    expect(status).not_to_contain_text("lies inside")
    assert count(canvas, BLUE) > 300 and count(canvas, BLACK) < 60


def test_two_masks_can_stand_side_by_side(lesson: Lesson) -> None:
    overlap = app(lesson, "pair = MaskOverlap")
    overlap.get_by_label("mask_type_2").select_option("gradient")
    overlap.get_by_label("view").select_option("side by side")
    canvases = overlap.locator("canvas:visible")
    expect(canvases).to_have_count(2)
    assert count(canvases.first, BLUE) == count(canvases.last, ORANGE) == 3072
    boxes = [canvas.bounding_box() for canvas in canvases.all()]
    assert all(boxes) and boxes[0]["y"] == boxes[1]["y"]


def test_a_seed_for_each_layer_mends_the_trap(lesson: Lesson) -> None:
    trap = app(lesson, "trap = MaskOverlap")
    expect(trap.get_by_role("status")).to_contain_text("The two masks are the same.")
    trap.get_by_label("seed_per_layer").check()
    expect(trap.get_by_role("status")).to_contain_text("would share about 256")
    expect(trap.get_by_role("status")).not_to_contain_text("the same")
    trap.get_by_label("layer_2").select_option(label="model.decoder.layers.1.fc1 (768 x 192)")
    expect(trap.get_by_role("status")).to_contain_text("Choose two layers of one shape.")


def test_painting_with_the_mouse_redraws_the_mask(lesson: Lesson) -> None:
    painter = app(lesson, "painter = MaskPainter")
    sheet, mask = painter.locator("canvas.shira-paint"), painter.locator("canvas.shira-mask")
    status = painter.get_by_role("status")
    expect(status).to_contain_text("124 of 1,024 cells are painted.")
    painter.get_by_role("button", name="Clear").click()
    expect(status).to_contain_text("Nothing is painted yet")
    before = mask.evaluate("canvas => canvas.toDataURL()")
    sheet.hover(position=cell(sheet, 10, 4))
    lesson.page.mouse.down()
    sheet.hover(position=cell(sheet, 10, 24))
    lesson.page.mouse.up()
    sheet.hover(position=cell(sheet, 20, 20))
    expect(status).to_contain_text("21 of 1,024 cells are painted. 756 entries lie under the paint: 2,316 around it")
    assert mask.evaluate("canvas => canvas.toDataURL()") != before
    assert sheet.get_attribute("aria-label") == (
        "drawing: 32 x 32 cells, 21 painted. Arrow keys move the cursor, space paints or erases."
    )


def test_on_a_small_screen_the_rank_is_in_view_while_painting(lesson: Lesson) -> None:
    lesson.page.set_viewport_size({"width": 1024, "height": 640})
    painter = app(lesson, "painter = MaskPainter")
    sheet = painter.locator("canvas.shira-paint")
    ranks = painter.get_by_text("A random delta here:").locator("visible=true")
    ranks.evaluate("node => node.scrollIntoView()")
    expect(sheet).to_be_in_viewport(ratio=1)
    expect(ranks).to_be_in_viewport()
    lesson.page.set_viewport_size({"width": 1280, "height": 800})


def test_a_stroke_that_begins_on_paint_erases(lesson: Lesson) -> None:
    painter = app(lesson, "painter = MaskPainter")
    sheet = painter.locator("canvas.shira-paint")
    sheet.hover(position=cell(sheet, 10, 4))
    lesson.page.mouse.down()
    sheet.hover(position=cell(sheet, 10, 8))
    lesson.page.mouse.up()
    expect(painter.get_by_role("status")).to_contain_text("16 of 1,024 cells are painted.")


def test_painting_works_with_the_keyboard(lesson: Lesson) -> None:
    painter = app(lesson, "painter = MaskPainter")
    sheet = painter.locator("canvas.shira-paint")
    painter.get_by_role("button", name="Clear").click()
    sheet.focus()
    for key in ("Space", "ArrowRight", "ArrowDown", "Space", "ArrowUp", "ArrowDown", "ArrowDown", "Enter"):
        sheet.press(key)
    expect(painter.get_by_role("status")).to_contain_text("3 of 1,024 cells are painted.")
    sheet.press("Space")
    expect(painter.get_by_role("status")).to_contain_text("2 of 1,024 cells are painted.")


def test_pictures_and_controls_have_names(lesson: Lesson) -> None:
    nameless = lesson.page.locator(
        ".jp-OutputArea :is(input, select, button, canvas, svg[role=img]):not([aria-label]):not([id]):not([title])"
    )
    assert nameless.evaluate_all("all => all.filter(one => !one.closest('label') && !one.textContent.trim())") == []


def test_every_control_moves(lesson: Lesson) -> None:
    lesson.move_every_control()
    assert lesson.tracebacks() == []


def test_the_page_is_as_wide_as_the_screen(lesson: Lesson) -> None:
    assert lesson.too_wide() == []


def test_nothing_complained_and_nothing_left_the_machine(lesson: Lesson) -> None:
    assert lesson.complaints == []
