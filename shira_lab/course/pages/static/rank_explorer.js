// The rank that each mask gives with the same budget: spectra beside LoRA's, theory beside what is measured.
import { spectrumPicture, ranksInWords } from "./mask_panel.js";
import { budget, bytesOf, density, drawnPositions, drawnTypes, maxR, placesOf, profileOf } from "./masks.js";
import { ranks, spectrumOf, structuralRank } from "./spectrum.js";
import { expectedEmptyRows, expectedRank, loraSpectrum } from "./theory.js";
import { element, fixed, percent, table, whole } from "./words.js";

const SLIDER_DENSITY = 0.25; // where the r slider ends: what there is to see happens long before
const LORA = "LoRA";
const HEAD = ["update", "entries", "empty rows", "structural rank", "rank", "stable rank", "effective rank"];

export function rankExplorer(app, { ranks: data }) {
  const { state } = app;
  const size = () => state.shape.split("x").map(Number);
  const ranking = { magnitude: (x) => x, smallest: (x) => -x };
  const offered = data.types.filter((type) => drawnTypes.includes(type) || type in ranking);
  const chosen = () => state.mask_types.split(",").map((name) => name.trim()).filter(Boolean);

  app.menu("shape", () => Object.keys(data.columns).map((shape) => [shape, shape]));
  app.follow(() => {
    const missing = chosen().filter((type) => !offered.includes(type));
    const there = chosen().filter((type) => offered.includes(type));
    if (missing.length) app.replaced.push(`mask_types=${missing.join(", ")}`);
    state.mask_types = [...new Set(there)].join(", ");
  });
  const group = element("fieldset", { class: "shira-row shira-group" }, element("legend", {}, "mask_types"));
  app.controls.append(group);
  for (const type of offered) {
    const change = (on) => {
      const names = offered.filter((name) => (name === type ? on : chosen().includes(name)));
      app.set({ mask_types: names.join(", ") });
    };
    app.tick(type, () => chosen().includes(type), change, group);
  }
  app.slider("r", () => ({ max: Math.max(state.r, Math.floor(SLIDER_DENSITY * maxR(size()))) }));
  app.slider("column_scale", () => ({ min: 0, max: data.maxScale, step: data.scaleStep }));
  app.number("random_seed", 0, () => data.columns[state.shape].length - 1);
  app.number("values_seed", 0, () => 9999);

  const pictures = app.row();
  const first = { ...spectrumPicture([], 1, ""), y_title: data.yTitle };
  const plot = app.picture("spectrum_plot", first, pictures);
  const rows = element("div", { class: "shira-scroll", tabindex: "0", role: "region", "aria-label": "ranks" });
  pictures.append(rows);
  app.view.append(app.status);

  const positions = (type) => {
    const k = budget(state.r, size());
    if (drawnTypes.includes(type)) return drawnPositions(type, size(), k, state.random_seed);
    return largest(scaled(data, state, size()).map(ranking[type]), k);
  };
  app.follow(() => {
    state.r = Math.min(state.r, maxR(size()));
    const step = Math.round(state.column_scale / data.scaleStep);
    state.column_scale = step * data.scaleStep;
    const [shape, k] = [size(), budget(state.r, size())];
    const reports = chosen().map((type) => ({ type, positions: positions(type) }));
    app.positions = reports.map((report) => report.positions);
    for (const report of reports) {
      report.empty = profileOf(report.positions, shape).emptyRows;
      report.structural = structuralRank(report.positions, shape);
    }
    const show = () => rows.replaceChildren(ranksTable(reports, lora, shape, state.r, data.colours));
    const lora = { type: LORA };
    show();
    app.say(
      `Each update has r(m + n) = ${state.r} * (${shape[0]} + ${shape[1]}) = ${whole(k)} trainable parameters, ` +
        `${percent(density(state.r, shape))} of the weight. Full rank is ${Math.min(...shape)}.`,
    );
    const measured = [];
    const draw = (report, values) => {
      report.found = ranks(values);
      const norm = Math.hypot(...values);
      measured.push([report.type, data.colours[report.type], values.map((value) => value / norm)]);
      const words = measured.map(([type], place) => `${type} ${ranksInWords([...reports, lora][place].found)}`);
      plot.show(spectrumPicture(measured, Math.min(...shape), words.join("; ")));
      show();
    };
    for (const report of reports) {
      app.later(() => draw(report, spectrumOf(report.positions, shape, state.values_seed)), 60);
    }
    app.later(() => draw(lora, loraSpectrum(state.r, shape, state.values_seed)), 60);
  });
}

// |W| of the drawn weight W_ij = z_ij exp(column_scale g_j), in single precision.
function scaled(data, { shape, column_scale: scale, random_seed: seed }, [m, n]) {
  const sizes = new Float32Array(bytesOf(data.magnitudes[seed]).buffer, 0, m * n);
  const columns = new Float32Array(bytesOf(data.columns[shape][seed][Math.round(scale / data.scaleStep)]).buffer);
  return sizes.map((value, place) => value * columns[place % n]);
}

// Sorted positions of the k largest scores; of equal ones, the first.
function largest(scores, k) {
  const threshold = scores.slice().sort()[scores.length - k];
  const flags = Uint8Array.from(scores, (score) => score > threshold);
  let left = k - flags.reduce((sum, flag) => sum + flag, 0);
  scores.forEach((score, place) => {
    if (score === threshold && left > 0) {
      flags[place] = 1;
      left--;
    }
  });
  return placesOf(flags);
}

function ranksTable(reports, lora, shape, r, colours) {
  const k = budget(r, shape);
  const measured = (found) =>
    found ? [`${found.rank}`, fixed(found.stable, 1), fixed(found.effective, 1)] : ["...", "...", "..."];
  const theory = [whole(k), fixed(expectedEmptyRows(shape, k), 1), fixed(expectedRank(shape, k), 1)];
  const rows = [["random, expected", ...theory, "-", "-", "-"]];
  for (const { type, positions, empty, structural, found } of reports) {
    rows.push([type, whole(positions.length), `${empty}`, `${structural}`, ...measured(found)]);
  }
  rows.push([LORA, whole(k), "0", `at most ${Math.min(r, ...shape)}`, ...measured(lora.found)]);
  return table(rows, HEAD, colours);
}
