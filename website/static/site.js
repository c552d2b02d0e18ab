// What scrolls sideways can be reached with the keyboard, also what an app has drawn anew.
const scrolls = "pre:not([role]), .table-wrapper, .formula, .verdict, .cell_output .output, [style*='overflow-x']";
function reach() {
  for (const box of document.querySelectorAll(scrolls)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
let waiting;
function soon() {
  clearTimeout(waiting);
  waiting = setTimeout(reach, 100); // an app draws many times while a slider moves
}
reach();
addEventListener("resize", reach);
new MutationObserver(soon).observe(document.body, { childList: true, subtree: true });
