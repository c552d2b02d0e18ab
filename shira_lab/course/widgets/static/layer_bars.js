// One bar for each layer: how much of it trains; a mark where the bar would end if each layer had its own budget.
const WIDTH = 420;
const [RIGHT, TOP, BOTTOM, LINE] = [64, 4, 40, 15];
const LETTER = 6.2; // its width, about

function svg(name, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

function parts(model, height) {
  const bars = model.get("bars");
  const left = 12 + LETTER * Math.max(0, ...bars.map(({ name }) => name.length));
  const longest = Math.max(0.01, ...bars.map(({ share, own }) => Math.max(share, own)));
  const x = (share) => left + (share / longest) * (WIDTH - left - RIGHT);
  const nodes = bars.flatMap(({ name, share, own, count }, place) => {
    const y = TOP + place * LINE;
    const chosen = name === model.get("chosen");
    return [
      svg("text", { x: left - 6, y: y + 11, "text-anchor": "end", class: chosen ? "bold" : "" }, name),
      svg("rect", { class: chosen ? "bar chosen" : "bar", x: left, y: y + 2, width: x(share) - left, height: LINE - 4 }),
      svg("line", { class: "mark", x1: x(own), x2: x(own), y1: y + 1, y2: y + LINE - 1 }),
      svg("text", { x: x(Math.max(share, own)) + 5, y: y + 11 }, count.toLocaleString("en")),
    ];
  });
  const below = TOP + bars.length * LINE + 14;
  for (const share of [0, longest]) {
    nodes.push(svg("text", { x: x(share), y: below, "text-anchor": "middle" }, `${(100 * share).toFixed(0)}%`));
  }
  const centre = (left + WIDTH - RIGHT) / 2;
  nodes.push(svg("text", { x: centre, y: height - 6, "text-anchor": "middle" }, "share of the layer's entries that train"));
  return nodes;
}

function render({ model, el }) {
  const plot = svg("svg", { class: "shira-bars", role: "img" });
  el.append(plot);
  const update = () => {
    const height = TOP + model.get("bars").length * LINE + BOTTOM;
    plot.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
    plot.setAttribute("aria-label", model.get("alt"));
    plot.replaceChildren(...parts(model, height));
  };
  model.on("change", update);
  update();
  return () => model.off("change", update);
}

export default { render };
