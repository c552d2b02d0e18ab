// Pixels from packed codes, row by row, each row padded to whole bytes; and bars along the right and lower margin.
// CSS pixels of the longer side, where the mask is smaller: more of them where the window has room.
const side = () => Math.max(384, Math.min(0.4 * window.innerWidth, 0.62 * window.innerHeight));
const DEPTH = 48; // of the longest bar

const rgba = (colour) => {
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
  return new Uint32Array(new Uint8Array([red, green, blue, 255]).buffer)[0];
};

function drawPixels(canvas, model) {
  const [height, width] = model.get("shape");
  const codes = model.get("bits");
  const palette = model.get("palette").map(rgba);
  const depth = palette.length > 2 ? 2 : 1;
  const inByte = 8 / depth;
  const stride = Math.ceil(width / inByte);
  const pixels = new Uint32Array(width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const byte = codes.getUint8(row * stride + Math.floor(column / inByte));
      const shift = 8 - depth * ((column % inByte) + 1);
      pixels[row * width + column] = palette[(byte >> shift) & (2 ** depth - 1)];
    }
  }
  canvas.width = width;
  canvas.height = height;
  canvas.style.width = `${width * Math.max(1, Math.floor(side() / Math.max(width, height)))}px`;
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
}

function svg(name, attributes, parent) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
}

// One path for all bars and one for the empty lines; `box` is (place along the mask, thickness, length) in a path.
function drawBars(strip, heights, empty, upright) {
  const bytes = heights.buffer.slice(heights.byteOffset, heights.byteOffset + heights.byteLength);
  const counts = new Uint32Array(bytes);
  const scale = DEPTH / Math.max(1, ...counts);
  const box = (place, length) =>
    upright ? `M${place} 0v${length}h1v${-length}z` : `M0 ${place}h${length}v1h${-length}z`;
  let [bars, gaps] = ["", ""];
  counts.forEach((count, place) => {
    if (empty.getUint8(place)) gaps += box(place, DEPTH);
    else bars += box(place, count * scale);
  });
  strip.setAttribute("viewBox", upright ? `0 0 ${counts.length || 1} ${DEPTH}` : `0 0 ${DEPTH} ${counts.length || 1}`);
  strip.querySelector(".bars").setAttribute("d", bars);
  strip.querySelector(".empty").setAttribute("d", gaps);
}

function makeStrip(name, parent) {
  const strip = svg("svg", { class: `shira-strip ${name}`, preserveAspectRatio: "none", "aria-hidden": "true" }, parent);
  svg("path", { class: "bars" }, strip);
  svg("path", { class: "empty" }, strip);
  return strip;
}

function render({ model, el }) {
  const frame = document.createElement("div");
  const canvas = document.createElement("canvas");
  const caption = document.createElement("div");
  frame.className = "shira-mask-frame";
  canvas.className = "shira-mask";
  caption.className = "caption";
  canvas.setAttribute("role", "img");
  frame.append(canvas);
  const [rows, columns] = [makeStrip("rows", frame), makeStrip("columns", frame)];
  frame.append(caption);
  el.append(frame);
  const update = () => {
    canvas.setAttribute("aria-label", model.get("alt"));
    caption.textContent = model.get("caption");
    drawPixels(canvas, model);
    drawBars(rows, model.get("rows"), model.get("empty_rows"), false);
    drawBars(columns, model.get("columns"), model.get("empty_columns"), true);
    frame.classList.toggle("bare", !model.get("rows").byteLength);
    frame.classList.toggle("faded", model.get("faded"));
  };
  model.on("change", update);
  window.addEventListener("resize", update);
  update();
  return () => {
    model.off("change", update);
    window.removeEventListener("resize", update);
  };
}

export default { render };
