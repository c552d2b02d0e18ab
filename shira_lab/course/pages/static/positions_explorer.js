// What the paper leaves open: the score, the number of samples, how they are reduced, one budget for each layer or for all.
import { layerMenu } from "./mask_explorer.js";
import { maskPicture, NO_MASK } from "./mask_panel.js";
import { budget, profileOf } from "./masks.js";
import { firstOf } from "./orders.js";
import { element, percent, table, whole } from "./words.js";

const ALL = ""; // stands for all layers together, where others have a path
const plain = (names) => names.map((name) => [name, name]);

export function positionsExplorer(app, { positions: data }) {
  const { state } = app;
  const paths = Object.keys(data.shapes);
  const shown = Object.keys(data.orders).map((path) => [path, { shape: data.shapes[path] }]);
  const numel = (path) => data.shapes[path][0] * data.shapes[path][1];
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const own = (path) => budget(state.r, data.shapes[path]);
  const isGlobal = () => state.scope === "global";

  app.menu("layer", () => layerMenu(Object.fromEntries(shown)));
  app.menu("score", () => plain(data.scores));
  app.slider("samples", () => ({ max: data.samples.at(-1), stops: data.samples }));
  app.menu("reduction", () => Object.entries(data.reductions).map(([value, name]) => [name, value]));
  app.slider("r", () => ({ max: data.maxR }));
  app.menu("scope", () => plain(data.scopes));
  app.view.append(app.status);
  const pictures = app.row();
  const mask = app.picture("mask_canvas", { ...NO_MASK }, pictures);
  const beside = element("div", { class: "shira-beside" });
  pictures.append(beside);
  const titles = { x_title: "samples", y_title: "also chosen from all samples", level_name: "chance" };
  const none = { stops: [], stop: 0, curves: [], level: 0, alt: "" };
  const curves = app.picture("share_curves", { ...titles, ...none }, beside);
  const facts = element("div", {});
  beside.append(facts);
  const bars = app.picture("layer_bars", { bars: [], chosen: "", alt: "" }, pictures);
  app.view.append(element("p", { class: "shira-note" }, data.note));

  // ---- what the data say of the present r, layer and scope ---------------------------------------------------------

  const key = ({ score, samples, reduction }) => (score === "magnitude" ? score : `${score} ${samples} ${reduction}`);
  const counts = () => paths.map((path, place) => (isGlobal() ? data.counts[key(state)][state.r - 1][place] : own(path)));
  const inAll = () => (isGlobal() ? sum(paths.map(own)) : own(state.layer));
  const agreement = (first, second) => {
    const [one, two] = [key(first), key(second)].sort();
    if (one === two) return 1;
    return data.both[isGlobal() ? ALL : state.layer][`${one} / ${two}`][state.r - 1] / inAll();
  };
  const withAll = (way) => agreement({ ...way, samples: data.samples.at(-1) }, way);
  const chance = () =>
    isGlobal() ? inAll() / sum(paths.map(numel)) : own(state.layer) ** 2 / numel(state.layer) / own(state.layer);

  // ---- the view ----------------------------------------------------------------------------------------------------

  app.follow(() => {
    const place = paths.indexOf(state.layer);
    const order = data.orders[state.layer][key(state)];
    app.positions = firstOf(order, counts()[place], numel(state.layer));
    mask.show(maskPicture(app.positions, data.shapes[state.layer]));
    bars.show(barsPicture(data.names, counts(), paths.map(own), paths.map(numel), place));
    const found = Object.entries(data.reductions).map(([reduction, name]) => ({
      name,
      colour: data.colours[name],
      shares: data.samples.map((samples) => withAll({ ...state, reduction, samples })),
    }));
    curves.show(curvesPicture(titles, data.samples, state.samples, found, chance()));
    facts.replaceChildren(table(factRows()));
    app.say(sentence());
  });

  const sentence = () => {
    const trained = `${whole(app.positions.length)} of ${whole(numel(state.layer))} entries of this layer train.`;
    if (state.score === "magnitude") {
      return `${trained} The magnitude mask looks at weights alone and needs no samples.`;
    }
    return (
      `${trained} ${percent(withAll(state), 0)} of the positions${isGlobal() ? " of all layers" : ""} are also chosen ` +
      `from all ${data.samples.at(-1)} samples; chance would give ${percent(chance(), 0)}.`
    );
  };

  const factRows = () => {
    const [m, n] = data.shapes[state.layer];
    const { emptyRows, emptyColumns } = profileOf(app.positions, [m, n]);
    const other = Object.keys(data.reductions).find((reduction) => reduction !== state.reduction);
    const share = (changes) => percent(agreement(state, { ...state, ...changes }), 0);
    return [
      [`also chosen by ${data.reductions[other]}`, share({ reduction: other })],
      ["also chosen by magnitude", share({ score: "magnitude" })],
      ["rows without an entry", `${emptyRows} of ${m}`],
      ["columns without an entry", `${emptyColumns} of ${n}`],
    ];
  };
}

function curvesPicture({ x_title: x, y_title: y, level_name: name }, stops, stop, curves, level) {
  const here = curves.map((curve) => `${curve.name} ${percent(curve.shares[stops.indexOf(stop)], 0)}`).join("; ");
  return { stops, stop, curves, level, alt: `${y} over ${x}; at ${stop}: ${here}; ${name}: ${percent(level, 0)}.` };
}

function barsPicture(names, counts, own, sizes, chosen) {
  const bars = names.map((name, place) => {
    const [count, size] = [counts[place], sizes[place]];
    return { name, count, share: count / size, own: own[place] / size };
  });
  const shares = bars.map(({ share }) => share);
  const said = (share) => `${percent(share, 1)} of ${names[shares.indexOf(share)]}`;
  const alt =
    `Trained entries of ${bars.length} layers, from ${said(Math.min(...shares))} to ${said(Math.max(...shares))}; ` +
    `${whole(counts[chosen])} in ${names[chosen]}.`;
  return { bars, chosen: names[chosen], alt };
}
