// What scrolls sideways can be reached with the keyboard.
function reach() {
  for (const box of document.querySelectorAll("pre, .table-wrapper, .formula, .sheet, .cell_output .output")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
reach();
addEventListener("resize", reach);
