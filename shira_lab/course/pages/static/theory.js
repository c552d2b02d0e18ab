// What to expect of a random mask and of LoRA, as in shira_lab.analysis.rank.
import { Generator, normals } from "./random.js";
import { eigenvalues } from "./spectrum.js";

const ROUNDS = 1000; // towards a fixed point

// Rows without an entry when k of the mn positions are drawn without replacement: m C(mn - n, k) / C(mn, k).
export function expectedEmptyRows([m, n], k) {
  if (k > m * n - n) return 0;
  let logarithm = 0;
  for (let j = 0; j < n; j++) logarithm += Math.log1p(-k / (m * n - j));
  return m * Math.exp(logarithm);
}

// The structural rank of a random mask of k entries in the limit of a large and sparse matrix (Karp & Sipser 1981).
export function expectedRank([m, n], k) {
  const ranks = [0, 1].map((start) => {
    let [w, u] = [start, 0];
    for (let round = 0; round < ROUNDS; round++) {
      u = Math.exp((-k / n) * w);
      w = Math.exp((-k / m) * u);
    }
    return m * (1 - w) + n * (1 - u) - k * w * u;
  });
  return Math.min(...ranks);
}

// Singular values of B A with normally distributed B (m, r) and A (r, n): with B^T B = L L^T, they are the roots of the
// eigenvalues of L^T (A A^T) L.
export function loraSpectrum(r, [m, n], seed) {
  const generator = new Generator(seed);
  const b = squares(normals(m * r, generator), m, r);
  const a = squares(normals(n * r, generator), n, r);
  const rank = Math.min(r, m, n);
  const l = cholesky(b, r);
  const core = new Float64Array(r * r);
  for (let i = 0; i < r; i++) {
    const column = new Float64Array(r); // of (A A^T) L
    for (let j = 0; j < r; j++) for (let k = i; k < r; k++) column[j] += a[j * r + k] * l[k * r + i];
    for (let j = 0; j < r; j++) for (let k = j; k < r; k++) core[j * r + i] += l[k * r + j] * column[k];
  }
  return eigenvalues(core, r).slice(0, rank).map(Math.sqrt);
}

// X^T X of a matrix X with `columns` columns.
function squares(x, rows, columns) {
  const product = new Float64Array(columns * columns);
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) product[i * columns + j] += x[start + i] * x[start + j];
    }
  }
  return product;
}

function cholesky(a, size) {
  const l = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let left = a[i * size + j];
      for (let k = 0; k < j; k++) left -= l[i * size + k] * l[j * size + k];
      l[i * size + j] = i === j ? Math.sqrt(left) : left / l[j * size + j];
    }
  }
  return l;
}
