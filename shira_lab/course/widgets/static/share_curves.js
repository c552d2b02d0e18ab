// Shares from 0 to 100% over a few labelled stops at equal distances; a level line, and a line at the chosen stop.
const [WIDTH, HEIGHT] = [400, 250];
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 16, 12, 40];

function svg(name, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

function parts(model) {
  const [stops, curves, level] = [model.get("stops"), model.get("curves"), model.get("level")];
  const x = (place) => LEFT + (place / Math.max(1, stops.length - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (share) => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  const across = (share, kind) => svg("line", { class: kind, x1: LEFT, x2: WIDTH - RIGHT, y1: y(share), y2: y(share) });
  const nodes = [];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    nodes.push(across(share, "grid"));
    nodes.push(svg("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share}%`));
  }
  stops.forEach((stop, place) => {
    nodes.push(svg("text", { x: x(place), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, `${stop}`));
  });
  const [centre, middle] = [(LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2];
  nodes.push(svg("text", { x: centre, y: HEIGHT - 6, "text-anchor": "middle" }, model.get("x_title")));
  const sideways = { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` };
  nodes.push(svg("text", sideways, model.get("y_title")));
  nodes.push(across(level, "level"));
  const here = x(stops.indexOf(model.get("stop")));
  nodes.push(svg("line", { class: "here", x1: here, x2: here, y1: TOP, y2: HEIGHT - BOTTOM }));
  for (const { colour, shares } of curves) {
    const points = shares.map((share, place) => [x(place), y(share)]);
    nodes.push(svg("polyline", { class: "curve", stroke: colour, points: points.join(" ") }));
    for (const [cx, cy] of points) nodes.push(svg("circle", { fill: colour, cx, cy, r: 3 }));
  }
  return nodes;
}

function legend(model) {
  const level = { name: model.get("level_name"), colour: "#767676" };
  return [...model.get("curves"), level].map(({ name, colour }) => {
    const entry = document.createElement("span");
    const stroke = document.createElement("i");
    stroke.style.background = colour;
    entry.append(stroke, name);
    return entry;
  });
}

function render({ model, el }) {
  const plot = svg("svg", { class: "shira-curves", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const names = document.createElement("div");
  names.className = "shira-curve-names";
  el.append(plot, names);
  const update = () => {
    plot.setAttribute("aria-label", model.get("alt"));
    plot.replaceChildren(...parts(model));
    names.replaceChildren(...legend(model));
  };
  model.on("change", update);
  update();
  return () => model.off("change", update);
}

export default { render };
