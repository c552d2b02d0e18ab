// The mask of a layer as a picture that follows the r slider.
import { MaskPanel } from "./mask_panel.js";
import { maskPositions, maxR, stopsOf, typesOf } from "./masks.js";

export const layerMenu = (layers) =>
  Object.entries(layers).map(([path, { shape: [m, n] }]) => [`${path} (${m} x ${n})`, path]);

export function maskExplorer(app, { masks }) {
  const layer = () => masks.layers[app.state.layer];
  app.menu("layer", () => layerMenu(masks.layers));
  app.menu("mask_type", () => typesOf(masks.types, layer()).map((type) => [type, type]));
  app.slider("r", () => {
    const stops = stopsOf(app.state.mask_type, layer()) || [];
    return { max: maxR(layer().shape), stops };
  });
  app.number("random_seed", 0, () => masks.maxSeed);
  const panel = new MaskPanel(app);
  app.view.append(app.status);
  app.follow(() => {
    const { mask_type: type, r, random_seed: seed } = app.state;
    app.positions = maskPositions(type, layer(), r, seed);
    panel.show(app.positions, layer().shape, r);
  });
}
