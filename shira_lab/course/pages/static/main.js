// Each place that the page keeps for an app is given the app, in the state that the address or the page says.
import { adapterSwitcher } from "./adapter_switcher.js";
import { App } from "./app.js";
import { budgetExplorer } from "./budget_explorer.js";
import { comparisonTable } from "./comparison_table.js";
import { countAndClock } from "./count_and_clock.js";
import { fineTuneLab } from "./fine_tune_lab.js";
import { fusionLab } from "./fusion_lab.js";
import { copyLink, keep, stateOf } from "./links.js";
import { maskExplorer } from "./mask_explorer.js";
import { maskOverlap } from "./mask_overlap.js";
import { maskPainter } from "./mask_painter.js";
import { positionsExplorer } from "./positions_explorer.js";
import { prediction } from "./prediction.js";
import { rankExplorer } from "./rank_explorer.js";

const APPS = {
  MaskExplorer: maskExplorer,
  MaskOverlap: maskOverlap,
  MaskPainter: maskPainter,
  BudgetExplorer: budgetExplorer,
  RankExplorer: rankExplorer,
  PositionsExplorer: positionsExplorer,
  FineTuneLab: fineTuneLab,
  ComparisonTable: comparisonTable,
  FusionLab: fusionLab,
  AdapterSwitcher: adapterSwitcher,
  CountAndClock: countAndClock,
  Prediction: prediction,
};

export function start({ specs, data, widgets }) {
  const apps = {};
  const seen = {};
  for (const root of document.querySelectorAll(".shira-app")) {
    const { app: name, state } = root.dataset;
    seen[name] = (seen[name] || 0) + 1;
    root.id = `${name}-${seen[name]}`;
    const app = (apps[root.id] = new App(root, specs[name], widgets));
    app.read(state);
    app.read(stateOf(root.id));
    root.replaceChildren(app.controls, app.view, copyLink(app));
    APPS[name](app, data);
    app.draw();
    app.moved = () => keep(app);
  }
  addEventListener("hashchange", () => {
    for (const app of Object.values(apps)) {
      const text = stateOf(app.id);
      if (text && text !== app.stateText) {
        app.read(text);
        app.draw();
      }
    }
  });
  return apps;
}
