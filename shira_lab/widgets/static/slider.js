// A native range input with a label: it answers mouse and keys, and screen readers know its name.
function render({ model, el }) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const input = document.createElement("input");
  const place = document.createElement("span");
  label.className = "shira-slider";
  place.className = "place";
  input.type = "range";
  input.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take the arrow keys for itself
  label.append(name, input, place);
  el.append(label);

  const show = () => {
    name.textContent = model.get("description");
    input.setAttribute("aria-label", model.get("description"));
    input.min = model.get("min");
    input.max = model.get("max");
    input.step = model.get("step");
    input.value = model.get("value");
    input.disabled = model.get("disabled");
    place.textContent = `${model.get("value").toLocaleString("en")} of ${model.get("max").toLocaleString("en")}`;
  };
  input.addEventListener("input", () => {
    model.set("value", input.valueAsNumber);
    model.save_changes();
  });
  model.on("change", show);
  show();
  return () => model.off("change", show);
}

export default { render };
