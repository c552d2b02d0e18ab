// Two masks laid over each other or set side by side: what they share, and what chance alone would give.
import { layerMenu } from "./mask_explorer.js";
import { maskPicture, NO_MASK, packed, poolingOf } from "./mask_panel.js";
import { maskPositions, maxR, stopsOf, typesOf } from "./masks.js";
import { element, fixed, percent, whole } from "./words.js";

const [OVER, BESIDE] = ["over each other", "side by side"];
const [NEITHER, FIRST, SECOND, BOTH] = [0, 1, 2, 3];
const COLOURS = ["#F4F4F4", "#0072B2", "#E69F00", "#000000"];
const CAPTION = "Blue: only mask 1. Orange: only mask 2. Black: both.";

export function maskOverlap(app, { masks }) {
  const { state } = app;
  const layer = (which) => masks.layers[state[`layer_${which}`]];
  const type = (which) => state[`mask_type_${which}`];
  for (const which of [1, 2]) {
    app.menu(`layer_${which}`, () => {
      if (which === 2) state.layer_2 ||= state.layer_1;
      return layerMenu(masks.layers);
    });
    app.menu(`mask_type_${which}`, () => typesOf(masks.types, layer(which)).map((name) => [name, name]));
    app.slider(`r_${which}`, () => ({ max: maxR(layer(which).shape), stops: stopsOf(type(which), layer(which)) || [] }));
    app.number(`random_seed_${which}`, 0, () => masks.maxSeed);
  }
  app.tick("seed_per_layer", () => state.seed_per_layer, (on) => app.set({ seed_per_layer: on }));
  app.menu("view_as", () => [[OVER, OVER], [BESIDE, BESIDE]], "view");

  const pictures = app.row();
  const canvases = [0, 1].map(() => app.picture("mask_canvas", { ...NO_MASK }, pictures));
  const [one, two] = pictures.children;
  const legend = element("div", { class: "shira-legend" });
  pictures.append(legend);
  app.view.append(app.status);

  const positions = (which) => {
    const seed = state[`random_seed_${which}`];
    const drawn = state.seed_per_layer ? layer(which).seeds[seed] : seed;
    return maskPositions(type(which), layer(which), state[`r_${which}`], drawn);
  };
  const beside = (first, second) => {
    two.hidden = false;
    canvases[0].show(maskPicture(first, layer(1).shape, null, COLOURS[FIRST], "Mask 1"));
    canvases[1].show(maskPicture(second, layer(2).shape, null, COLOURS[SECOND], "Mask 2"));
  };
  app.follow(() => {
    const [first, second] = (app.positions = [positions(1), positions(2)]);
    const [[m, n], [a, b]] = [layer(1).shape, layer(2).shape];
    if (m !== a || n !== b) {
      legend.replaceChildren();
      beside(first, second);
      app.say(
        `Mask 1 is for a weight of ${m} x ${n}, mask 2 for one of ${a} x ${b}: they share positions only where ` +
          "the shapes are equal. Choose two layers of one shape.",
        true,
      );
      return;
    }
    const found = overlap(first, second, m * n);
    legend.replaceChildren(...legendOf(found));
    app.say(inShort(found));
    if (state.view_as === BESIDE) {
      beside(first, second);
    } else {
      two.hidden = true;
      canvases[0].show(overlapPicture(first, second, [m, n], inShort(found)));
    }
  });
  app.shownPicture = one;
}

function overlap(first, second, numel) {
  const there = new Set(first);
  const both = second.reduce((count, position) => count + there.has(position), 0);
  const expected = (first.length * second.length) / numel;
  const left = ((numel - first.length) * (numel - second.length)) / (numel - 1);
  const deviation = Math.sqrt((expected * left) / numel);
  return { first: first.length, second: second.length, both, expected, deviation };
}

function inShort({ first, second, both, expected, deviation }) {
  const share = both / Math.min(first, second);
  const text =
    `${whole(both)} entries are in both masks, ${percent(share)} of the smaller one; independent random masks ` +
    `would share about ${whole(fixed(expected, 0))}, give or take ${whole(fixed(deviation, 0))}.`;
  if (both === first && both === second) return `${text} The two masks are the same.`;
  const inside = first < second ? "Mask 1 lies inside mask 2." : "Mask 2 lies inside mask 1.";
  return share === 1 ? `${text} ${inside}` : text;
}

function legendOf({ first, second, both }) {
  const counts = [["only mask 1", first - both], ["only mask 2", second - both], ["both", both]];
  return counts.map(([name, count], place) => {
    const mark = element("i", {});
    mark.style.background = COLOURS[place + 1];
    return element("div", {}, mark, `${name}: `, element("strong", {}, whole(count)));
  });
}

// Where a pixel stands for several entries, it says BOTH if any is in both masks, else the mask that has more of them.
function overlapPicture(first, second, [m, n], alt) {
  const side = poolingOf([m, n]);
  const shape = [Math.ceil(m / side), Math.ceil(n / side)];
  const pixel = (position) => Math.floor(Math.floor(position / n) / side) * shape[1] + Math.floor((position % n) / side);
  const balance = new Int32Array(shape[0] * shape[1]);
  const codes = new Uint8Array(balance.length).fill(NEITHER);
  for (const position of first) balance[pixel(position)]++;
  for (const position of second) balance[pixel(position)]--;
  for (const position of [...first, ...second]) codes[pixel(position)] = balance[pixel(position)] >= 0 ? FIRST : SECOND;
  const there = new Set(first);
  for (const position of second) if (there.has(position)) codes[pixel(position)] = BOTH;
  return { ...NO_MASK, bits: packed(codes, shape, 2), shape, palette: COLOURS, alt, caption: CAPTION };
}
