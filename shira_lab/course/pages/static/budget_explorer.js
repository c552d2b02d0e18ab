// The budget of a whole model: SHiRA beside LoRA and full fine-tuning, in memory and on disk; see shira_lab.analysis.costs.
import { ticks } from "./chart.js";
import { budget, density, maxR } from "./masks.js";
import { element, escaped, fixed, percent, table, whole } from "./words.js";

const ADVICE = 0.1;
const PARTS = { weights: "#767676", adapter: "#CC79A7", gradients: "#E69F00", optimizer: "#0072B2", activations: "#56B4E9" };
const FILES = { "PEFT's layout": ["file", "#0072B2"], "compact form": ["compactFile", "#009E73"] };
const ROWS = [
  ["model's weights", "weights"], ["adapter", "adapter"], ["gradients", "gradients"], ["AdamW's moments", "optimizer"],
  ["activations", "activations"], ["memory to train", "memory"], ["file, PEFT's layout", "file"],
  ["file, compact form", "compactFile"],
]; // prettier-ignore
const LAYERS = ["layers", "weight", "trained in each", "density", "largest r", `largest r within ${percent(ADVICE, 0)}`];
const [WIDTH, LEFT, RIGHT, BAR, GAP, TITLE, LEGEND, AXIS] = [620, 64, 92, 24, 10, 24, 24, 40];

export function budgetExplorer(app, { budgets }) {
  const { state } = app;
  const model = () => budgets.models[state.model];
  const groups = () => model().groups[state.target_modules].layers;
  app.menu("model", () => Object.entries(budgets.models).map(([name, { label }]) => [label, name]));
  app.menu("target_modules", () => Object.entries(budgets.targets).map(([name, label]) => [label, name]));
  app.slider("r", () => ({ max: Math.min(...groups().map(({ shape }) => maxR(shape))) }));
  app.number("batch_size", 1, () => budgets.maxBatch);
  app.number("length", 1, () => budgets.maxLength, "length (tokens)");
  app.menu("dtype", () => Object.keys(budgets.widths).map((name) => [name, name]));

  app.view.append(app.status);
  const pictures = app.row();
  const bars = element("div", { class: "shira-part" });
  const [costs, layers] = ["what it costs", "the layers"].map((name) =>
    element("div", { class: "shira-scroll", tabindex: "0", role: "region", "aria-label": name }),
  );
  pictures.append(bars, costs);
  app.view.append(layers);

  app.follow(() => {
    const found = costsOf(model(), model().groups[state.target_modules], budgets, state);
    const { parameters } = model();
    const trained = found.SHiRA.trained;
    bars.innerHTML = costsSvg(found);
    costs.replaceChildren(costTable(found, parameters));
    layers.replaceChildren(layerTable(groups(), state.r));
    const count = groups().reduce((sum, one) => sum + one.count, 0);
    app.say(
      `${state.model} has ${whole(parameters)} parameters. With r = ${state.r} in ${count} layers, SHiRA and ` +
        `LoRA train ${whole(trained)} of them, ${percent(trained / parameters)}.${model().uncounted}`,
    );
  });
}

function costsOf({ parameters, kept }, group, { widths, bytes }, { r, batch_size: batch, length, dtype }) {
  const [width, tokens] = [widths[dtype], batch * length];
  const sum = (of) => group.layers.reduce((total, { shape, count }) => total + count * of(shape), 0);
  const trained = sum((shape) => budget(r, shape));
  const compact = Math.round(sum((shape) => compactBytes(r, shape, bytes.float)));
  const activations = tokens * group.kept[dtype];
  const between = group.kept[dtype] ? tokens * r * sum(() => 1) * width : 0;
  const weights = parameters * width;
  return {
    SHiRA: cost(trained, weights, trained * bytes.shira, activations, bytes.shiraFile * trained, compact, bytes),
    LoRA: cost(trained, weights, trained * bytes.float, activations + between, bytes.float * trained, bytes.float * trained, bytes),
    full: cost(parameters, bytes.float * parameters, 0, tokens * kept[dtype], weights, weights, bytes),
  };
}

function cost(trained, weights, adapter, activations, file, compactFile, bytes) {
  const [gradients, optimizer] = [bytes.gradient * trained, bytes.adamw * trained];
  const memory = weights + adapter + gradients + optimizer + activations;
  return { trained, weights, adapter, gradients, optimizer, activations, memory, file, compactFile };
}

// A position is stored as the gap before it, seven bits to a byte.
function compactBytes(r, shape, float) {
  const empty = 1 - density(r, shape);
  let position = 0;
  for (let byte = 0; byte < 5; byte++) position += empty ** (byte ? 2 ** (7 * byte) : 0);
  return budget(r, shape) * (float + position);
}

// A number of bytes for people, in powers of 1000: "402.7 MB".
export function inUnits(size) {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  if (!unit) return `${fixed(size, 0)} bytes`;
  const [before, after] = fixed(size, 1).split(".");
  return `${whole(before)}.${after} ${units[unit]}`;
}

function costTable(costs, parameters) {
  const all = Object.values(costs);
  const rows = [
    ["trainable parameters", ...all.map(({ trained }) => whole(trained))],
    ["share of the model", ...all.map(({ trained }) => percent(trained / parameters))],
    ...ROWS.map(([name, kind]) => [name, ...all.map((one) => inUnits(one[kind]))]),
  ];
  return table(rows, ["", ...Object.keys(costs)]);
}

function layerTable(groups, r) {
  const rows = groups.map(({ name, shape: [m, n], count }) => {
    const share = density(r, [m, n]);
    const within = Math.floor(ADVICE * maxR([m, n]));
    const advice = share <= ADVICE ? "" : ` (above ${percent(ADVICE, 0)})`;
    return [
      `${count} x ${name}`, `${whole(m)} x ${whole(n)}`, whole(budget(r, [m, n])), `${percent(share)}${advice}`,
      whole(maxR([m, n])), within ? whole(within) : "none",
    ]; // prettier-ignore
  });
  return table(rows, LAYERS);
}

function inWords(costs) {
  const list = (kind) => Object.entries(costs).map(([name, one]) => `${name} ${inUnits(one[kind])}`).join(", ");
  return `Memory to train: ${list("memory")}. File on disk: ${list("file")}.`;
}

// Two panels of horizontal bars: memory in its parts, and the adapter's file; as in shira_lab.course.figures.costs.
function costsSvg(costs) {
  const memory = Object.entries(costs).map(([name, one]) => {
    const stack = Object.entries(PARTS).map(([part, colour]) => [one[part], colour]);
    return [name, stack, inUnits(one.memory)];
  });
  const files = Object.entries(costs).slice(0, -1).flatMap(([name, one]) =>
    Object.values(FILES)
      .filter(([kind]) => kind === "file" || one.compactFile !== one.file)
      .map(([kind, colour]) => [name, [[one[kind], colour]], inUnits(one[kind])]),
  );
  const legend = Object.fromEntries(Object.entries(FILES).map(([label, [, colour]]) => [label, colour]));
  const [above, top] = panel("memory to train", memory, PARTS, 0);
  const [below, height] = panel("the adapter's file", files, legend, top);
  return (
    `<svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" role="img" aria-label="${escaped(inWords(costs))}" ` +
    `font-family="system-ui, sans-serif" font-size="13" fill="#222">` +
    `<rect width="${WIDTH}" height="${height}" fill="white"/>${above}${below}</svg>`
  );
}

function panel(title, bars, legend, top) {
  let y = top + TITLE;
  const parts = [`<text x="8" y="${y - 6}" font-weight="600">${title}</text>`];
  let x = LEFT;
  for (const [name, colour] of Object.entries(legend)) {
    parts.push(`<rect x="${x}" y="${y + 4}" width="12" height="12" fill="${colour}"/>`);
    parts.push(`<text x="${x + 17}" y="${y + 15}">${escaped(name)}</text>`);
    x += 34 + 7 * name.length;
  }
  y += LEGEND;
  const bottom = y + bars.length * (BAR + GAP);
  const total = (stack) => stack.reduce((sum, [size]) => sum + size, 0);
  const limit = Math.max(...bars.map(([, stack]) => total(stack))) || 1;
  const scale = (WIDTH - LEFT - RIGHT) / limit;
  for (const tick of ticks(limit)) {
    const at = Math.round(LEFT + tick * scale);
    const size = tick ? inUnits(tick).replace(".0 ", " ") : "0";
    parts.push(`<line x1="${at}" x2="${at}" y1="${y}" y2="${bottom}" stroke="#E5E5E5"/>`);
    parts.push(`<text x="${at}" y="${bottom + 15}" text-anchor="middle" font-size="12">${size}</text>`);
  }
  bars.forEach(([name, stack, label], number) => {
    const at = y + number * (BAR + GAP) + GAP / 2;
    parts.push(`<text x="${LEFT - 8}" y="${at + 17}" text-anchor="end">${escaped(name)}</text>`);
    let end = LEFT;
    for (const [size, colour] of stack) {
      parts.push(`<rect x="${end}" y="${at}" width="${size * scale}" height="${BAR}" fill="${colour}"/>`);
      end += size * scale;
    }
    parts.push(`<text x="${end + 6}" y="${at + 17}" font-weight="600">${label}</text>`);
  });
  parts.push(`<line x1="${LEFT}" x2="${LEFT}" y1="${y}" y2="${bottom}" stroke="#444"/>`);
  return [parts.join(""), bottom + AXIS];
}
