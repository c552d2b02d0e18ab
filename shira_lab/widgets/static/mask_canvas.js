// A mask from packed bits, row by row, each row padded to whole bytes; one canvas pixel for each bit.
const INK = [0x00, 0x72, 0xb2];
const PAPER = [0xf4, 0xf4, 0xf4];
const SIDE = 384; // CSS pixels of the longer side, where the mask is smaller

const rgba = ([red, green, blue]) => new Uint32Array(new Uint8Array([red, green, blue, 255]).buffer)[0];

function draw(canvas, model) {
  const [height, width] = model.get("shape");
  const bits = model.get("bits");
  const stride = Math.ceil(width / 8);
  const ink = rgba(INK);
  const paper = rgba(PAPER);
  const pixels = new Uint32Array(width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const byte = bits.getUint8(row * stride + (column >> 3));
      pixels[row * width + column] = byte & (0x80 >> (column & 7)) ? ink : paper;
    }
  }
  canvas.width = width;
  canvas.height = height;
  canvas.style.width = `${width * Math.max(1, Math.floor(SIDE / Math.max(width, height)))}px`;
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
}

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.className = "shira-mask";
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
