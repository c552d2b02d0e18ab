// Singular values over their index, on a logarithmic axis that spans DECADES powers of ten below the largest.
const [WIDTH, HEIGHT] = [400, 250];
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 12, 12, 40];
const DECADES = 4;

function svg(name, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

// The curves, each with its own share of the values.
function curvesOf(model) {
  const bytes = model.get("values");
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  let start = 0;
  return model.get("curves").map((curve) => {
    const mine = values.subarray(start, start + curve.length);
    start += curve.length;
    return { ...curve, values: mine };
  });
}

function parts(curves, places, xTitle, yTitle) {
  const largest = Math.max(0, ...curves.map(({ values }) => values[0] || 0));
  const top = Math.ceil(Math.log10(largest || 1));
  const x = (index) => LEFT + (index / places) * (WIDTH - LEFT - RIGHT);
  const y = (power) => TOP + ((top - power) / DECADES) * (HEIGHT - TOP - BOTTOM);
  const nodes = [];
  for (let power = top; power >= top - DECADES; power--) {
    nodes.push(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(power), y2: y(power) }));
    const label = svg("text", { x: LEFT - 6, y: y(power) + 4, "text-anchor": "end" }, "10");
    label.append(svg("tspan", { dy: -5, "font-size": "9" }, `${power}`));
    nodes.push(label);
  }
  for (const index of [0, Math.round(places / 2), places]) {
    nodes.push(svg("text", { x: x(index), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, `${index}`));
  }
  const [centre, middle] = [(LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2];
  nodes.push(svg("text", { x: centre, y: HEIGHT - 6, "text-anchor": "middle" }, xTitle));
  const sideways = { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` };
  nodes.push(svg("text", sideways, yTitle));
  const point = (value, index) => `${x(index + 1)},${y(Math.max(Math.log10(value), top - DECADES))}`;
  for (const { values, colour } of curves) {
    nodes.push(svg("polyline", { class: "curve", stroke: colour, points: [...values].map(point).join(" ") }));
    if (values.length) {
      const [cx, cy] = point(values[values.length - 1], values.length - 1).split(",");
      nodes.push(svg("circle", { class: "end", fill: colour, cx, cy, r: 4 }));
    }
  }
  return nodes;
}

// Names beside strokes of their colours, where curves have names.
function legend(curves) {
  return curves.filter(({ name }) => name).map(({ name, colour }) => {
    const entry = document.createElement("span");
    const stroke = document.createElement("i");
    stroke.style.background = colour;
    entry.append(stroke, name);
    return entry;
  });
}

function render({ model, el }) {
  const plot = svg("svg", { class: "shira-spectrum", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const names = document.createElement("div");
  names.className = "shira-spectrum-names";
  el.append(plot, names);
  const update = () => {
    const curves = curvesOf(model);
    plot.setAttribute("aria-label", model.get("alt"));
    plot.replaceChildren(...parts(curves, model.get("places"), model.get("x_title"), model.get("y_title")));
    names.replaceChildren(...legend(curves));
  };
  model.on("change", update);
  update();
  return () => model.off("change", update);
}

export default { render };
