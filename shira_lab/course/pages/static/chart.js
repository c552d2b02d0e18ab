// Line charts as SVG text, as in shira_lab.course.figures.chart.
import { escaped, general } from "./words.js";

const [WIDTH, HEIGHT] = [460, 280]; // of the plot with its axes; the legend comes below
const [LEFT, RIGHT, TOP, BOTTOM] = [56, 14, 26, 42];
const [LEGEND_LINE, LETTER] = [20, 6.6];

// `lines` have points [x, y], null where the line is cut, a name for the legend or "", a colour, a width, dash and dots.
export function chart({ title, xTitle, yTitle, xEnd, lines }) {
  const largest = Math.max(0, ...lines.flatMap(({ points }) => points.filter(Boolean).map(([, y]) => y)));
  const top = 1.05 * largest || 1;
  const x = (value) => LEFT + (value / xEnd) * (WIDTH - RIGHT - LEFT);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const grid = ticks(top).map(
    (tick) =>
      `<path d="M${LEFT} ${y(tick)}H${WIDTH - RIGHT}" stroke="#E5E5E5"/>` +
      `<text x="${LEFT - 6}" y="${y(tick) + 4}" text-anchor="end">${general(tick, 6)}</text>`,
  );
  const below = ticks(xEnd).map(
    (tick) => `<text x="${x(tick)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${general(tick, 6)}</text>`,
  );
  const [legend, height] = legendOf(lines.filter(({ name }) => name));
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  const words = inWords({ title, xTitle, yTitle, lines });
  return (
    `<svg class="shira-chart" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(words)}" ` +
    `font-family="system-ui, sans-serif" font-size="12" fill="#222">` +
    `<rect width="${WIDTH}" height="${height}" fill="white"/>` +
    `<text x="${LEFT}" y="16" font-weight="600">${escaped(title)}</text>${grid.join("")}${below.join("")}` +
    `<path d="M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}" fill="none" stroke="#444"/>` +
    `<text x="${(LEFT + WIDTH) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(xTitle)}</text>` +
    `<text text-anchor="middle" transform="translate(13 ${middle}) rotate(-90)">${escaped(yTitle)}</text>` +
    `${lines.map((line) => drawn(line, x, y)).join("")}${legend}</svg>`
  );
}

function inWords({ title, xTitle, yTitle, lines }) {
  const ends = lines.filter(({ name }) => name).map(({ name, points }) => {
    const last = points.filter(Boolean).at(-1);
    return last ? `${name} ${general(last[1], 3)}` : `${name}: no point yet`;
  });
  return `${title}: ${yTitle} over ${xTitle}; at the end ${ends.join(", ")}.`;
}

// Zero and round numbers up to a positive limit, at most six of them.
export function ticks(limit) {
  const power = 10 ** Math.floor(Math.log10(limit));
  const step = power * [0.2, 0.5, 1, 2].find((factor) => limit / (power * factor) < 6);
  return Array.from({ length: Math.floor(limit / step) + 1 }, (_, number) => step * number);
}

function drawn({ points, colour, width = 2.5, dash = false, dots = false }, x, y) {
  let [path, circles, pen] = ["", "", "M"];
  for (const point of points) {
    if (!point) {
      pen = "M";
      continue;
    }
    const [at, value] = [x(point[0]), y(point[1])];
    path += `${pen}${at} ${value}`;
    pen = "L";
    if (dots) circles += `<circle cx="${at}" cy="${value}" r="3.5" fill="${colour}"/>`;
  }
  const dashes = dash ? ' stroke-dasharray="7 5"' : "";
  return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="${width}"${dashes}/>${circles}`;
}

// Names beside strokes of their colours, in as many lines as they need, and where the chart ends.
function legendOf(lines) {
  let [parts, x, y] = ["", LEFT, HEIGHT + 12];
  for (const { name, colour, dash } of lines) {
    const width = 34 + LETTER * name.length;
    if (x > LEFT && x + width > WIDTH) [x, y] = [LEFT, y + LEGEND_LINE];
    const dashes = dash ? ' stroke-dasharray="5 3"' : "";
    parts += `<path d="M${x} ${y - 4}h18" stroke="${colour}" stroke-width="3"${dashes}/>`;
    parts += `<text x="${x + 23}" y="${y}">${escaped(name)}</text>`;
    x += width;
  }
  return [parts, y + 8];
}
