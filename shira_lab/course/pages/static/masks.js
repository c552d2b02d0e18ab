// Masks as sorted flat positions, equal to those of shira_lab.masks: drawn here, or by the level of each entry, which
// is the smallest r whose mask holds it.
import { Generator, shuffled } from "./random.js";

export const maxR = ([m, n]) => Math.floor((m * n) / (m + n));
export const budget = (r, [m, n]) => r * (m + n);
export const density = (r, shape) => budget(r, shape) / (shape[0] * shape[1]);

const DRAWN = { random, struct, block, row_col: rowCol, columns };
export const drawnTypes = Object.keys(DRAWN);
const BLOCK = 16;

// The mask types that a layer has: those that are drawn, and those for which its data has levels or sets of bits.
export const typesOf = (types, layer) => types.filter((type) => type in DRAWN || type in layer.levels || type in layer.bits);

// The values of r for which the layer's data has a mask of this type: null for all.
export const stopsOf = (type, layer) => (type in layer.bits ? Object.keys(layer.bits[type]).map(Number) : null);

// k sorted positions of a mask that looks at neither weights nor data.
export const drawnPositions = (type, shape, k, seed) => DRAWN[type](shape, k, seed);

export function maskPositions(type, layer, r, seed) {
  if (type in DRAWN) return drawnPositions(type, layer.shape, budget(r, layer.shape), seed);
  if (type in layer.bits) return placesOf(unpacked(layer.bits[type][r]));
  return placesOf(bytesOf(layer.levels[type]).map((level) => level <= r));
}

// Bytes of base64, kept: a slider asks for the same ones again and again.
const known = new Map();
export function bytesOf(text) {
  if (!known.has(text)) known.set(text, Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
  return known.get(text);
}

export function unpacked(text) {
  const bytes = bytesOf(text);
  return Uint8Array.from({ length: 8 * bytes.length }, (_, place) => (bytes[place >> 3] >> (7 - (place & 7))) & 1);
}

export function placesOf(flags) {
  let count = 0;
  for (const flag of flags) count += flag ? 1 : 0;
  const places = new Uint32Array(count);
  let next = 0;
  flags.forEach((flag, place) => {
    if (flag) places[next++] = place;
  });
  return places;
}

function random([m, n], k, seed) {
  return shuffled(m * n, new Generator(seed)).slice(0, k).sort();
}

// The first k distinct positions of groups, taken in order.
function filled(groups, [m, n], k) {
  const mask = new Uint8Array(m * n);
  let left = k;
  for (const group of groups) {
    for (const position of group) {
      if (left === 0) return placesOf(mask);
      if (mask[position]) continue;
      mask[position] = 1;
      left--;
    }
  }
  return placesOf(mask);
}

function* linesInTurn(rows, columns, [m, n]) {
  for (let turn = 0; turn < Math.min(m, n); turn++) {
    yield Array.from({ length: n }, (_, column) => rows[turn] * n + column);
    yield Array.from({ length: m }, (_, row) => row * n + columns[turn]);
  }
}

function rowCol([m, n], k, seed) {
  const generator = new Generator(seed);
  const rows = shuffled(m, generator);
  return filled(linesInTurn(rows, shuffled(n, generator), [m, n]), [m, n], k);
}

// 0 .. count - 1 in bit-reversed order, in which every prefix covers the range evenly.
function spread(count) {
  const bits = Math.max(1, Math.ceil(Math.log2(count)));
  const reversed = (index) => parseInt([...index.toString(2).padStart(bits, "0")].reverse().join(""), 2);
  return Array.from({ length: 2 ** bits }, (_, index) => reversed(index)).filter((place) => place < count);
}

function struct([m, n], k) {
  function* groups() {
    yield Array.from({ length: Math.min(m, n) }, (_, place) => place * (n + 1));
    yield* linesInTurn(spread(m), spread(n), [m, n]);
  }
  return filled(groups(), [m, n], k);
}

function block([m, n], k, seed) {
  const across = Math.ceil(n / BLOCK);
  const order = shuffled(Math.ceil(m / BLOCK) * across, new Generator(seed));
  function* groups() {
    for (const place of order) {
      const [top, left] = [Math.floor(place / across) * BLOCK, (place % across) * BLOCK];
      const group = [];
      for (let row = top; row < Math.min(top + BLOCK, m); row++) {
        for (let column = left; column < Math.min(left + BLOCK, n); column++) group.push(row * n + column);
      }
      yield group;
    }
  }
  return filled(groups(), [m, n], k);
}

// Entries by their column's place in a shuffle; of one column, the first rows first.
function columns([m, n], k, seed) {
  const place = shuffled(n, new Generator(seed));
  const order = Array.from({ length: n });
  place.forEach((turn, column) => (order[turn] = column));
  const groups = order.map((column) => Array.from({ length: m }, (_, row) => row * n + column));
  return filled(groups, [m, n], k);
}

// Entries by row and by column.
export function profileOf(positions, [m, n]) {
  const [rows, columns] = [new Uint32Array(m), new Uint32Array(n)];
  for (const position of positions) {
    rows[Math.floor(position / n)]++;
    columns[position % n]++;
  }
  const empty = (counts) => counts.reduce((sum, count) => sum + (count === 0), 0);
  return { rows, columns, emptyRows: empty(rows), emptyColumns: empty(columns) };
}
