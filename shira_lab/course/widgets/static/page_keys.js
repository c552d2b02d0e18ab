// The keys that a presenter's clicker sends, wherever the focus is: Page Up and Page Down.
const STEPS = { PageDown: 1, PageUp: -1 };

function render({ model }) {
  const heard = (event) => {
    if (!model.get("listening") || !(event.key in STEPS)) return;
    event.preventDefault(); // the page would scroll
    event.stopPropagation();
    model.send(STEPS[event.key]);
  };
  document.addEventListener("keydown", heard, true);
  return () => document.removeEventListener("keydown", heard, true);
}

export default { render };
