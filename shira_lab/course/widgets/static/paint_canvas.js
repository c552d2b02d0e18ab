// A grid of cells. A stroke paints, or erases if it begins on paint; arrow keys move a cursor, space or Enter paints.
const SIDE = 320; // CSS pixels
const [PAINT, PAPER, LINE, CURSOR] = ["#0072b2", "#f4f4f4", "#d9d9d9", "#d55e00"];
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// Bits in base64, row by row, without the empty bytes at the end; as in paint_canvas.py.
function decode(text, count) {
  const cells = new Uint8Array(count);
  [...atob(text)].forEach((character, byte) => {
    for (let bit = 0; bit < 8; bit++) cells[8 * byte + bit] = (character.charCodeAt(0) >> (7 - bit)) & 1;
  });
  return cells;
}

function encode(cells) {
  const bytes = new Uint8Array(cells.length / 8);
  cells.forEach((painted, place) => (bytes[place >> 3] |= painted << (7 - (place & 7))));
  let end = bytes.length;
  while (end && !bytes[end - 1]) end--;
  return btoa(String.fromCharCode(...bytes.subarray(0, end)));
}

// The cells on the straight line between two, so that a quick stroke has no gaps.
function between([row, column], [toRow, toColumn]) {
  const steps = Math.max(Math.abs(toRow - row), Math.abs(toColumn - column), 1);
  const part = (from, to, step) => Math.round(from + ((to - from) * step) / steps);
  return Array.from({ length: steps + 1 }, (_, step) => [part(row, toRow, step), part(column, toColumn, step)]);
}

function render({ model, el }) {
  const size = model.get("size");
  const canvas = document.createElement("canvas");
  const place = document.createElement("div");
  canvas.className = "shira-paint";
  canvas.width = canvas.height = SIDE;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  place.className = "shira-paint-place";
  place.setAttribute("aria-live", "polite");
  el.append(canvas, place);

  let cells = decode(model.get("value"), size * size);
  let cursor = [0, 0];
  let stroke = null; // while the button is down: the value that it gives cells
  const at = ([row, column]) => row * size + column;

  function draw() {
    const context = canvas.getContext("2d");
    const step = SIDE / size;
    const focused = document.activeElement === canvas;
    context.fillStyle = LINE;
    context.fillRect(0, 0, SIDE, SIDE);
    cells.forEach((painted, cell) => {
      context.fillStyle = painted ? PAINT : PAPER;
      context.fillRect((cell % size) * step, Math.floor(cell / size) * step, step - 1, step - 1);
    });
    if (focused) {
      context.strokeStyle = CURSOR;
      context.lineWidth = 2;
      context.strokeRect(cursor[1] * step, cursor[0] * step, step - 1, step - 1);
    }
    const painted = cells.reduce((sum, cell) => sum + cell, 0);
    const name = `${model.get("description")}: ${size} x ${size} cells, ${painted} painted.`;
    canvas.setAttribute("aria-label", `${name} Arrow keys move the cursor, space paints or erases.`);
    const where = `row ${cursor[0] + 1}, column ${cursor[1] + 1}: ${cells[at(cursor)] ? "painted" : "empty"}`;
    place.textContent = focused ? where : "Drag to paint or erase; or arrow keys and space.";
  }

  function put(places, value) {
    for (const one of places) cells[at(one)] = value;
    model.set("value", encode(cells));
    model.save_changes();
    draw();
  }

  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    const inside = (part) => Math.min(size - 1, Math.max(0, Math.floor(part * size)));
    return [inside((event.clientY - box.top) / box.height), inside((event.clientX - box.left) / box.width)];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    cursor = under(event);
    stroke = 1 - cells[at(cursor)];
    put([cursor], stroke);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (stroke === null) return;
    const next = under(event);
    if (at(next) === at(cursor)) return;
    const line = between(cursor, next);
    cursor = next;
    put(line, stroke);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (stroke = null));
  canvas.addEventListener("keydown", (event) => {
    if (event.key in ARROWS) {
      cursor = cursor.map((one, axis) => Math.min(size - 1, Math.max(0, one + ARROWS[event.key][axis])));
      draw();
    } else if (event.key === " " || event.key === "Enter") {
      put([cursor], 1 - cells[at(cursor)]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  for (const change of ["focus", "blur"]) canvas.addEventListener(change, draw);

  const update = () => {
    cells = decode(model.get("value"), size * size);
    draw();
  };
  model.on("change", update);
  update();
  return () => model.off("change", update);
}

export default { render };
