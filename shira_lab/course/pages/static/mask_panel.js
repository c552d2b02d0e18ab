// A mask with everything that is said about it, as in the notebook's app: picture and margins, density, ranks, facts.
import { budget, density, maxR, profileOf } from "./masks.js";
import { ranks, spectrumOf } from "./spectrum.js";
import { element, fixed, percent, table, whole } from "./words.js";

const VIEW_PIXELS = 512; // of the longer side: in a larger mask, a pixel stands for a square of entries
const [PAPER, BLUE, VERMILLION] = ["#F4F4F4", "#0072B2", "#D55E00"];
const ADVICE = 0.1;
const REST = 60; // milliseconds after which a slider rests, and singular values follow

export const NO_MASK = { bits: view([0]), shape: [1, 1], palette: [PAPER, BLUE], alt: "", caption: "", faded: false };
for (const side of ["rows", "columns", "empty_rows", "empty_columns"]) NO_MASK[side] = view([]);

export function view(numbers, Kind = Uint8Array) {
  return new DataView(Kind.from(numbers).buffer);
}

export const poolingOf = (shape) => Math.max(1, Math.ceil(Math.max(...shape) / VIEW_PIXELS));

// Codes (rows, columns) of pixels, packed in `depth` bits each, row by row.
export function packed(codes, [rows, columns], depth) {
  const stride = Math.ceil((columns * depth) / 8);
  const bytes = new Uint8Array(rows * stride);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const bit = column * depth;
      bytes[row * stride + (bit >> 3)] |= codes[row * columns + column] << (8 - depth - (bit & 7));
    }
  }
  return new DataView(bytes.buffer);
}

// What the mask's canvas shows of these positions; with a profile, the bars along it.
export function maskPicture(positions, [m, n], profile = null, ink = BLUE, caption = "") {
  const side = poolingOf([m, n]);
  const shape = [Math.ceil(m / side), Math.ceil(n / side)];
  const codes = new Uint8Array(shape[0] * shape[1]);
  for (const position of positions) {
    codes[Math.floor(Math.floor(position / n) / side) * shape[1] + Math.floor((position % n) / side)] = 1;
  }
  let alt = `Mask of a ${m} x ${n} weight: ${whole(positions.length)} entries train.`;
  if (side > 1) alt += ` A pixel stands for ${side} x ${side} entries and is set if any of them trains.`;
  const shown = { ...NO_MASK, bits: packed(codes, shape, 1), shape, palette: [PAPER, ink], alt, caption };
  return profile ? { ...shown, ...margins(profile, side, alt) } : shown;
}

function margins({ rows, columns, emptyRows, emptyColumns }, side, alt) {
  const pooled = (counts, choose) =>
    Array.from({ length: Math.ceil(counts.length / side) }, (_, i) => choose(...counts.slice(i * side, (i + 1) * side)));
  const empty = (counts) => view(pooled(counts, Math.min).map((least) => least === 0));
  const high = (counts) => view(pooled(counts, Math.max), Uint32Array);
  return {
    rows: high(rows),
    columns: high(columns),
    empty_rows: empty(rows),
    empty_columns: empty(columns),
    alt: `${alt} ${emptyRows} rows and ${emptyColumns} columns have none.`,
    caption:
      `Bars: entries of each row, at most ${whole(Math.max(...rows))}, and of each column, at most ` +
      `${whole(Math.max(...columns))}. Orange: without an entry.`,
  };
}

// The curves of a spectrum's picture: [name, colour, values] each.
export function spectrumPicture(curves, places, words) {
  return {
    values: view(curves.flatMap(([, , values]) => [...values]), Float32Array),
    curves: curves.map(([name, colour, values]) => ({ name, colour, length: values.length })),
    places,
    x_title: "index of the singular value",
    alt: `Singular values: ${words}, at most ${places} possible.`,
  };
}

export const ranksInWords = ({ rank, stable, effective }) =>
  `rank ${rank}, stable rank ${fixed(stable, 1)}, effective rank ${fixed(effective, 1)}`;

export function budgetInWords(r, [m, n]) {
  const share = density(r, [m, n]);
  return (
    `r(m + n) = ${r} * (${m} + ${n}) = ${whole(budget(r, [m, n]))} of ${whole(m * n)} entries train: ` +
    `${percent(share)}, ${share <= ADVICE ? "within" : "above"} the usual ${percent(ADVICE, 0)}.`
  );
}

export class MaskPanel {
  constructor(app) {
    this.app = app;
    this.pictures = app.row();
    this.mask = app.picture("mask_canvas", { ...NO_MASK }, this.pictures);
    const beside = element("div", { class: "shira-beside" });
    this.pictures.append(beside);
    this.density = element("div", { class: "shira-density", role: "img" });
    this.facts = element("div", {});
    beside.append(this.density);
    const none = { ...spectrumPicture([], 1, ""), y_title: "singular value" };
    this.spectrum = app.picture("spectrum_plot", none, beside);
    beside.append(this.facts);
  }

  show(positions, shape, r, remark = "") {
    const { app } = this;
    const profile = profileOf(positions, shape);
    this.mask.show(maskPicture(positions, shape, profile));
    this.showDensity(density(r, shape));
    app.say(`${budgetInWords(r, shape)} ${remark}`.trim());
    app.later(() => {
      const values = spectrumOf(positions, shape);
      const found = ranks(values);
      const most = Math.min(...shape);
      this.spectrum.show(spectrumPicture([["", BLUE, values]], most, ranksInWords(found)));
      this.facts.replaceChildren(table(factRows(found, profile, shape, r)));
    }, REST);
  }

  showDensity(share) {
    const name = `density ${percent(share)}, advice: at most ${percent(ADVICE, 0)}`;
    const bar = element("i", {});
    bar.style.width = percent(Math.min(1, share / (2 * ADVICE)), 1);
    bar.style.background = share <= ADVICE ? BLUE : VERMILLION;
    const words = element("div", {});
    words.append(
      element("span", {}, `density ${percent(share)}`),
      element("span", {}, `advice ${percent(ADVICE, 0)}`),
      element("span", {}, `${percent(2 * ADVICE, 0)} and more`),
    );
    this.density.setAttribute("aria-label", name);
    this.density.replaceChildren(words, element("div", { class: "bar" }, bar));
  }
}

function factRows(found, { emptyRows, emptyColumns }, [m, n], r) {
  return [
    ["rank of a random delta here", `${found.rank} of ${Math.min(m, n)} (LoRA with as many parameters: ${r})`],
    ["stable rank, effective rank", `${fixed(found.stable, 1)}, ${fixed(found.effective, 1)}`],
    ["rows without an entry", `${emptyRows} of ${m}`],
    ["columns without an entry", `${emptyColumns} of ${n}`],
    ["largest r for this shape", `${maxR([m, n])}`],
  ];
}
