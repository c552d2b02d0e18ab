// The shipped comparison as a table, and how each method learned and forgot; every number is a recorded run's.
import { chart } from "./chart.js";
import { element } from "./words.js";

const [BLUE, VERMILLION] = ["#0072B2", "#D55E00"];

export function comparisonTable(app, { comparison }) {
  const { state } = app;
  const budgets = [...new Set(comparison.tables.map(({ r }) => r))];
  const measures = [...new Set(comparison.tables.map(({ measure }) => measure))];
  const cells = () => comparison.cells.filter(({ r }) => r === state.r || r === null);
  app.menu("r", () => budgets.map((r) => [`${r}`, r]));
  app.menu("measure", () => measures.map((name) => [name, name]));
  app.menu("method", () => cells().map(({ family }) => [family, family]), "curves of");
  const table = element("div", { class: "shira-scroll shira-comparison", tabindex: "0", role: "region", "aria-label": "comparison" });
  const curves = app.row();
  app.view.prepend(table);
  app.view.append(app.status);
  app.view.append(element("p", { class: "shira-note" }, comparison.note));
  app.follow(() => {
    table.innerHTML = comparison.tables.find((one) => one.r === state.r && one.measure === state.measure).html;
    const { label, runs } = cells().find(({ family }) => family === state.method);
    const of = (name, title, colour) => ({
      name: title,
      colour,
      width: 1.5,
      dots: true,
      points: runs.flatMap(({ points }) => [...points.map((point) => [point.step, point[name]]), null]),
    });
    const lines = [
      of("excess", `world ${comparison.world}, which it learns`, BLUE),
      of("reference", `world ${comparison.reference}, which it forgets`, VERMILLION),
    ];
    const title = `${label}: each seed`;
    const yTitle = "excess (nats/token)";
    curves.innerHTML = chart({ title, xTitle: "step", yTitle, xEnd: comparison.steps, lines });
    app.say("In the table, dots are seeds and a stroke is their mean.");
  });
}
