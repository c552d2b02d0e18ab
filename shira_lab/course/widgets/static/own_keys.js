// Plain keys in an app are the app's own: JupyterLab would take arrow keys and letters for its cells, also from a menu.
// Keys with Ctrl, Alt, Shift or Meta stay JupyterLab's. It looks at the control that has the focus, and before anybody
// else, so that the control must say it beforehand: when the focus comes, and when such a key goes down or up.
const EVENTS = ["focusin", "keydown", "keyup"];

function render({ el }) {
  const decide = ({ target, ctrlKey, altKey, shiftKey, metaKey }) => {
    const plain = !(ctrlKey || altKey || shiftKey || metaKey);
    if (el.closest(".widget-vbox")?.contains(target)) target.toggleAttribute("data-lm-suppress-shortcuts", plain);
  };
  for (const name of EVENTS) addEventListener(name, decide, true);
  return () => {
    for (const name of EVENTS) removeEventListener(name, decide, true);
  };
}

export default { render };
