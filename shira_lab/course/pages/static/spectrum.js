// Ranks of an update with normally distributed values at the positions of a mask, as in shira_lab.analysis.
import { Generator, normals } from "./random.js";

// The largest rank that the positions allow: the size of a largest matching of rows to columns (Kuhn 1955).
export function structuralRank(positions, [m, n]) {
  const columns = Array.from({ length: m }, () => []);
  for (const position of positions) columns[Math.floor(position / n)].push(position % n);
  const rowOf = new Int32Array(n).fill(-1);
  const seen = new Int32Array(n).fill(-1);
  const grow = (row, round) => {
    for (const column of columns[row]) {
      if (rowOf[column] < 0) {
        rowOf[column] = row;
        return true;
      }
    }
    for (const column of columns[row]) {
      if (seen[column] === round) continue;
      seen[column] = round;
      if (grow(rowOf[column], round)) {
        rowOf[column] = row;
        return true;
      }
    }
    return false;
  };
  return columns.reduce((size, _, row) => size + grow(row, row), 0);
}

// Singular values, descending, of the (m, n) matrix with these values at the positions and zeros elsewhere: roots of
// the eigenvalues of M M^T, or of M^T M where that is smaller. Small ones are lost in rounding; `rank` of them are not 0.
export function singularValues(positions, values, shape, rank) {
  const squares = eigenvalues(gram(positions, values, shape), Math.min(...shape));
  const smallest = 1e-12 * squares[0];
  return squares.slice(0, rank).map((square) => Math.sqrt(Math.max(square, smallest)));
}

// M M^T or M^T M: the sum over the lines of the longer side of what each line's entries make with each other.
function gram(positions, values, [m, n]) {
  const [size, lines] = m <= n ? [m, n] : [n, m];
  const entries = Array.from({ length: lines }, () => [[], []]);
  positions.forEach((position, i) => {
    const [row, column] = [Math.floor(position / n), position % n];
    const [places, there] = entries[m <= n ? column : row];
    places.push(m <= n ? row : column);
    there.push(values[i]);
  });
  const product = new Float64Array(size * size);
  for (const [places, there] of entries) {
    for (let i = 0; i < places.length; i++) {
      const [start, value] = [places[i] * size, there[i]];
      for (let j = 0; j <= i; j++) product[start + places[j]] += value * there[j];
    }
  }
  return product; // its lower half, which is all that the reduction reads
}

// Eigenvalues, descending, of a symmetric matrix: Householder's reduction, then QL with implicit shifts.
export function eigenvalues(a, size) {
  const [diagonal, beside] = tridiagonal(a, size);
  for (let low = 0; low < size; low++) {
    for (;;) {
      let high = low;
      while (high < size - 1) {
        const around = Math.abs(diagonal[high]) + Math.abs(diagonal[high + 1]);
        if (Math.abs(beside[high]) <= Number.EPSILON * around) break;
        high++;
      }
      if (high === low) break;
      shift(diagonal, beside, low, high);
    }
  }
  return diagonal.sort().reverse();
}

function shift(diagonal, beside, low, high) {
  let g = (diagonal[low + 1] - diagonal[low]) / (2 * beside[low]);
  let r = Math.hypot(g, 1);
  g = diagonal[high] - diagonal[low] + beside[low] / (g + (g >= 0 ? r : -r));
  let [sine, cosine, p] = [1, 1, 0];
  for (let i = high - 1; i >= low; i--) {
    const f = sine * beside[i];
    const b = cosine * beside[i];
    r = Math.sqrt(f * f + g * g);
    beside[i + 1] = r;
    if (r === 0) {
      diagonal[i + 1] -= p;
      beside[high] = 0;
      return;
    }
    sine = f / r;
    cosine = g / r;
    g = diagonal[i + 1] - p;
    r = (diagonal[i] - g) * sine + 2 * cosine * b;
    p = sine * r;
    diagonal[i + 1] = g + p;
    g = cosine * r - b;
  }
  diagonal[low] -= p;
  beside[low] = g;
  beside[high] = 0;
}

// A symmetric matrix reflected into tridiagonal form, from the last row up: its diagonal, and what stands beside it.
function tridiagonal(a, size) {
  const [diagonal, beside, p] = [new Float64Array(size), new Float64Array(size), new Float64Array(size)];
  for (let i = size - 1; i > 0; i--) {
    const row = i * size;
    let norm = 0;
    for (let k = 0; k < i; k++) norm += a[row + k] ** 2;
    norm = Math.sqrt(norm);
    diagonal[i] = a[row + i];
    beside[i - 1] = norm && (a[row + i - 1] > 0 ? -norm : norm);
    if (!norm) continue;
    a[row + i - 1] -= beside[i - 1]; // the reflection's direction u stands in the row now
    const half = norm * (norm + Math.abs(a[row + i - 1] + beside[i - 1])); // u.u / 2
    p.fill(0, 0, i);
    for (let j = 0; j < i; j++) {
      const [start, u] = [j * size, a[row + j]];
      let sum = a[start + j] * u;
      for (let k = 0; k < j; k++) {
        sum += a[start + k] * a[row + k];
        p[k] += a[start + k] * u;
      }
      p[j] += sum;
    }
    let along = 0;
    for (let j = 0; j < i; j++) along += (p[j] /= half) * a[row + j];
    along /= 2 * half;
    for (let j = 0; j < i; j++) p[j] -= along * a[row + j];
    for (let j = 0; j < i; j++) {
      const [start, u, q] = [j * size, a[row + j], p[j]];
      for (let k = 0; k <= j; k++) a[start + k] -= u * p[k] + q * a[row + k];
    }
  }
  diagonal[0] = a[0];
  return [diagonal, beside];
}

// The ranks of singular values of which none is zero.
export function ranks(values) {
  const total = values.reduce((sum, value) => sum + value, 0);
  const squares = values.reduce((sum, value) => sum + value ** 2, 0);
  const entropy = values.reduce((sum, value) => sum - (value / total) * Math.log(value / total), 0);
  return { rank: values.length, stable: squares / values[0] ** 2, effective: Math.exp(entropy) };
}

// The spectrum of a random update at sorted positions.
export function spectrumOf(positions, shape, seed = 0) {
  const values = normals(positions.length, new Generator(seed));
  return singularValues(positions, values, shape, structuralRank(positions, shape));
}
