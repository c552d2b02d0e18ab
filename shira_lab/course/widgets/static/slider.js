// A native range input with a label: it answers mouse and keys, and screen readers know its name.
function render({ model, el }) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const input = document.createElement("input");
  const place = document.createElement("span");
  label.className = "shira-slider";
  place.className = "place";
  input.type = "range";
  label.append(name, input, place);
  el.append(label);

  const show = () => {
    name.textContent = model.get("description");
    input.setAttribute("aria-label", model.get("description"));
    const stops = model.get("stops");
    const [first, last] = stops.length ? [0, stops.length - 1] : [model.get("min"), model.get("max")];
    input.min = first;
    input.max = last;
    input.step = stops.length ? 1 : model.get("step");
    input.value = stops.length ? stops.indexOf(model.get("value")) : model.get("value");
    input.disabled = model.get("disabled");
    const words = `${model.get("value").toLocaleString("en")} of ${model.get("max").toLocaleString("en")}`;
    place.textContent = words;
    if (stops.length) input.setAttribute("aria-valuetext", words);
  };
  input.addEventListener("input", () => {
    const stops = model.get("stops");
    model.set("value", stops.length ? stops[input.valueAsNumber] : input.valueAsNumber);
    model.save_changes();
  });
  model.on("change", show);
  show();
  return () => model.off("change", show);
}

export default { render };
