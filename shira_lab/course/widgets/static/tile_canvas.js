// Levels 0 to 255, one byte for each tile, drawn from pale to dark; `brightness` scales them all.
const COLOURS = [[0xf4, 0xf4, 0xf4], [0x56, 0xb4, 0xe9], [0x00, 0x3a, 0x5c]];
// CSS pixels of the longer side, where there are fewer tiles: more of them where the window has room.
const side = () => Math.max(256, Math.min(0.28 * window.innerWidth, 0.45 * window.innerHeight));

function colour(level) {
  const place = (level / 255) * (COLOURS.length - 1);
  const below = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[below].map((start, part) => start + (place - below) * (COLOURS[below + 1][part] - start));
}

function draw(canvas, model) {
  const [height, width] = model.get("shape");
  const levels = model.get("levels");
  const pixels = new Uint8ClampedArray(4 * width * height);
  for (let tile = 0; tile < width * height; tile++) {
    pixels.set([...colour(levels.getUint8(tile) * model.get("brightness")), 255], 4 * tile);
  }
  canvas.width = width;
  canvas.height = height;
  canvas.style.width = `${width * Math.max(1, Math.floor(side() / Math.max(width, height)))}px`;
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.className = "shira-tiles";
  canvas.setAttribute("role", "img");
  el.append(canvas);
  const update = () => {
    canvas.setAttribute("aria-label", model.get("alt"));
    draw(canvas, model);
  };
  model.on("change", update);
  update();
  return () => model.off("change", update);
}

export default { render };
