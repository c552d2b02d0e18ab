// A mask drawn by hand: the picture is stretched over a layer and brought to the exact budget r(m + n), by the rule of
// shira_lab.course.masks.drawn.
import { layerMenu } from "./mask_explorer.js";
import { MaskPanel } from "./mask_panel.js";
import { budget, bytesOf, maxR } from "./masks.js";
import { Generator, shuffled } from "./random.js";
import { element, whole } from "./words.js";

// The painted cells (size, size) of a drawing's text: bits in base64, row by row, without the empty bytes at the end.
export function cellsOf(text, size) {
  const bytes = bytesOf(text);
  return Uint8Array.from({ length: size * size }, (_, cell) => ((bytes[cell >> 3] || 0) >> (7 - (cell & 7))) & 1);
}

// How far each cell lies from the paint, corners too: 0 on it, 1 next to it. Without paint, all cells are 0.
function rings(cells, size) {
  const ring = new Int32Array(cells.length).fill(-1);
  let edge = [...cells.keys()].filter((cell) => cells[cell]);
  if (!edge.length) return ring.fill(0);
  for (let distance = 0; edge.length; distance++) {
    for (const cell of edge) ring[cell] = distance;
    const next = new Set(edge.flatMap((cell) => around(cell, size)));
    edge = [...next].filter((cell) => ring[cell] < 0);
  }
  return ring;
}

function around(cell, size) {
  const [row, column] = [Math.floor(cell / size), cell % size];
  const near = (place) => [place - 1, place, place + 1].filter((one) => one >= 0 && one < size);
  return near(row).flatMap((r) => near(column).map((c) => r * size + c));
}

// Each entry of an (m, n) weight takes the value of the cell under its centre.
function stretched(cells, size, [m, n]) {
  const under = (place, side) => Math.floor(((2 * place + 1) * size) / (2 * side));
  return Int32Array.from({ length: m * n }, (_, position) => {
    return cells[under(Math.floor(position / n), m) * size + under(position % n, n)];
  });
}

// Ring after ring until k entries lie under the paint; of the last ring, a seeded random choice.
export function drawnMask(cells, size, shape, k, seed) {
  const ring = stretched(rings(cells, size), size, shape);
  const counts = [];
  for (const one of ring) counts[one] = (counts[one] || 0) + 1;
  let [last, inside] = [0, 0];
  while (inside + counts[last] < k) inside += counts[last++];
  const [kept, edge] = [[], []];
  ring.forEach((one, position) => {
    if (one < last) kept.push(position);
    else if (one === last) edge.push(position);
  });
  const order = shuffled(edge.length, new Generator(seed));
  for (let i = 0; i < k - inside; i++) kept.push(edge[order[i]]);
  return Uint32Array.from(kept).sort();
}

export function sourceOf(template, { cells, size, name, r, seed }) {
  const rows = Array.from({ length: size }, (_, row) => [...cells.slice(row * size, (row + 1) * size)]);
  const picture = rows.map((row) => row.map((painted) => (painted ? "#" : ".")).join("")).join("\n");
  const values = { picture, name, r, seed };
  return template.replace(/<(picture|name|r|seed)>/g, (_, part) => values[part]);
}

export function maskPainter(app, { masks, painter: { size, template } }) {
  const { state } = app;
  const shape = () => masks.layers[state.layer].shape;
  app.menu("layer", () => layerMenu(masks.layers));
  app.slider("r", () => ({ max: maxR(shape()) }));
  app.number("random_seed", 0, () => masks.maxSeed);
  app.view.append(app.status);
  const panel = new MaskPanel(app);
  const easel = element("div", {});
  panel.pictures.prepend(easel);
  const canvas = app.picture("paint_canvas", { description: "drawing", value: state.drawing, size }, easel);
  canvas.on("change", () => {
    if (canvas.get("value") !== state.drawing) app.set({ drawing: canvas.get("value") });
  });
  app.button("Clear", () => app.set({ drawing: "" }), easel);
  const source = element("pre", { tabindex: "0", role: "region", "aria-label": "source" });
  const title = element("summary", {}, "the drawing as a mask function for PEFT, in Python");
  app.view.append(element("details", {}, title, source));
  app.follow(() => {
    const { r, random_seed: seed, drawing, name } = state;
    const [cells, k] = [cellsOf(drawing, size), budget(r, shape())];
    if (canvas.get("value") !== drawing) canvas.show({ value: drawing });
    app.positions = drawnMask(cells, size, shape(), k, seed);
    app.source = sourceOf(template, { cells, size, name, r, seed });
    source.textContent = app.source;
    panel.show(app.positions, shape(), r, remark(cells, size, shape(), k));
  });
}

function remark(cells, size, shape, k) {
  const sum = (flags) => flags.reduce((total, flag) => total + flag, 0);
  const [painted, under] = [sum(cells), sum(stretched(cells, size, shape))];
  if (!painted) return "Nothing is painted yet, so they lie at random.";
  const count = `${whole(painted)} of ${whole(size * size)} cells are painted. ${whole(under)} entries lie under the paint: `;
  if (under < k) return `${count}${whole(k - under)} around it are added, the nearest first.`;
  return count + (under > k ? `${whole(k)} of them are taken at random.` : "exactly the budget.");
}
