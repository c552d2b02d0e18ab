// A training run that was recorded: Run plays it again, at the speed it had or faster, and the slider goes to any step.
import { chart } from "./chart.js";
import { ranksInWords, spectrumPicture, view } from "./mask_panel.js";
import { bytesOf } from "./masks.js";
import { cards } from "./texts.js";
import { element, fixed, general, whole } from "./words.js";

const [BLUE, GREEN, GREY, ORANGE, PURPLE] = ["#0072B2", "#009E73", "#767676", "#E69F00", "#CC79A7"];
const MEASURES = { rank: BLUE, effective_rank: GREEN, stable_rank: PURPLE };
const RANDOM = "random values at the same positions";
const SPEEDS = [1, 10, 100];
const FRAME = 50; // milliseconds between two pictures of a run that plays

export function fineTuneLab(app, { trainings }) {
  const { state } = app;
  Object.assign(state, { step: Infinity, speed: 10, layer: "", measurement: 1 });
  const asked = ["model", "method", "mask_type", "mask_moves", "r", "world"];
  // Which recording the state asks for; a setting that none has is said to need a kernel.
  const fits = ({ state: recorded }) =>
    asked.every((name) => recorded[name] === state[name] || (name.startsWith("mask_") && state.method !== "shira"));
  const found = () => trainings.find(fits);

  const offered = trainings.map(({ name }) => [name, name]);
  const take = (name) => app.set({ ...trainings.find((one) => one.name === name).state, step: 0 });
  app.menu("recording", () => {
    if (!found()) app.replaced.push(asked.map((name) => `${name}=${state[name]}`).join(" "));
    Object.assign(state, (found() || trainings[0]).state);
    state.recording = found().name;
    return offered;
  }, "recording", take);
  const recording = () => trainings.find(({ name }) => name === state.recording);
  app.slider("step", () => ({ min: 0, max: recording().history.steps.length }));
  app.menu("speed", () => SPEEDS.map((speed) => [speed === 1 ? "as it was" : `${speed} times faster`, speed]));
  const run = app.button("Run", () => play());
  const stop = app.button("Stop", () => pause());

  app.view.append(app.status);
  const about = element("p", { class: "shira-note" });
  app.view.append(about);
  const charts = app.row();
  const texts = element("div", {});
  app.view.append(texts);
  const update = updateView(app);

  let timer = 0;
  function play() {
    const { steps } = recording().history;
    if (state.step >= steps.length) state.step = 0;
    const seconds = () => (state.step ? steps[state.step - 1].seconds : 0);
    let [clock, last] = [seconds(), performance.now()];
    clearInterval(timer);
    timer = setInterval(() => {
      clock += ((performance.now() - last) / 1000) * state.speed;
      last = performance.now();
      let step = state.step;
      while (step < steps.length && steps[step].seconds <= clock) step++;
      if (step !== state.step) app.set({ step });
      if (step === steps.length) pause();
    }, FRAME);
    buttons(true);
  }
  function pause() {
    clearInterval(timer);
    buttons(false);
  }
  function buttons(playing) {
    [run.disabled, stop.disabled] = [playing, !playing];
  }
  buttons(false);

  app.follow(() => {
    const { history, label, machine, day } = recording();
    const now = upTo(history, state.step);
    app.say(state.step === history.steps.length ? outcome(now) : progress(now, history.steps.length));
    const made = machine ? `made on ${day} (${machine})` : "of a machine and a day that were not kept";
    about.textContent =
      `This plays a recording of ${label}, ${history.steps.length} steps, ${made}: nothing is trained here. Other ` +
      'settings, Save and Reload need a kernel: "make lab" in a copy of the repository, or the lessons on Binder.';
    charts.innerHTML = lossChart(now, label, history.steps.length) + rankChart(now, label, history.steps.length);
    const shown = [["before", now.samples[0]?.text], [`after ${now.samples.at(-1)?.step} steps`, now.samples.at(-1)?.text]];
    texts.replaceChildren(cards(now.samples.length > 1 ? shown : shown.slice(0, 1)));
    update(now);
  });
}

// The history as it was after so many steps.
function upTo(history, step) {
  const until = (points) => points.filter((point) => point.step <= step);
  const lists = ["steps", "evals", "ranks", "pictures", "samples"];
  return { ...history, ...Object.fromEntries(lists.map((name) => [name, until(history[name])])) };
}

function losses({ evals }) {
  const { loss, floor } = evals.at(-1);
  return `Held-out loss ${fixed(loss, 2)}${floor ? `, floor ${fixed(floor, 2)}` : ""} nats/token.`;
}

function progress(now, steps) {
  if (!now.steps.length) return `Step 0 of ${steps}: measuring the model as it is ...`;
  const { step, seconds } = now.steps.at(-1);
  const rest = ((steps - step) * seconds) / step;
  return `Step ${step} of ${steps}, ${fixed(seconds, 0)} s, about ${fixed(rest, 0)} s to go. ${losses(now)}`;
}

function outcome(now) {
  const { step, seconds } = now.steps.at(-1);
  const share = `${whole(now.trainable)} of ${whole(now.parameters)} parameters trained`;
  return `Finished after ${step} steps and ${fixed(seconds, 0)} s; ${share}. ${losses(now)}`;
}

function lossChart(now, label, steps) {
  const floor = now.evals.at(-1).floor;
  const lines = [
    { name: "training loss", colour: ORANGE, width: 1.5, points: now.steps.map(({ step, loss }) => [step, loss]) },
    { name: "held-out loss", colour: BLUE, dots: true, points: now.evals.map(({ step, loss }) => [step, loss]) },
    { name: "entropy floor", colour: GREY, dash: true, points: floor ? [[0, floor], [steps, floor]] : [] },
  ]; // prettier-ignore
  return chart({ title: `${label}: loss`, xTitle: "step", yTitle: "loss (nats/token)", xEnd: steps, lines });
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// For each measure the mean over layers, every layer as a thin line, and the mean for random values, dashed.
function rankChart({ ranks, controls }, label, steps) {
  const [at, layers] = ["step", "layer"].map((name) => [...new Set(ranks.map((point) => point[name]))]);
  const lines = Object.entries(MEASURES).flatMap(([measure, colour]) => {
    const means = at.map((step) => [step, mean(ranks.filter((one) => one.step === step).map((one) => one[measure]))]);
    const each = layers.flatMap((layer) => [
      ...ranks.filter((one) => one.layer === layer).map((one) => [one.step, one[measure]]),
      null,
    ]);
    return [
      { name: measure.replace("_", " "), colour, dots: true, points: means },
      { name: "", colour, width: 0.6, points: each },
    ];
  });
  const levels = Object.entries(MEASURES).map(([measure, colour]) => {
    const level = mean(controls.map((one) => one[measure]));
    return { name: "", colour, width: 0.9, dash: true, points: controls.length ? [[0, level], [steps, level]] : [] };
  });
  const all = [...lines, ...levels];
  return chart({ title: `${label}: ranks`, xTitle: "step", yTitle: "rank of the update", xEnd: steps, lines: all });
}

// The update of a layer as it grows; returns what draws it for a history.
function updateView(app) {
  const { state } = app;
  let now = { ranks: [], pictures: [] };
  const box = element("div", {});
  const [controls, outer] = [app.controls, app.view];
  app.controls = element("div", { class: "shira-row" });
  const layers = () => [...new Set(now.ranks.map(({ layer }) => layer))];
  const pictures = () => now.pictures.filter(({ layer }) => layer === state.layer);
  const draw = [];
  const follow = app.follow;
  app.follow = (follower) => draw.push(follower); // these come after the history is known
  app.menu("layer", () => (layers().length ? layers() : [""]).map((layer) => [layer, layer]));
  let newest = 1;
  app.slider("measurement", () => {
    const max = Math.max(1, pictures().length);
    if (state.measurement >= newest) state.measurement = max; // who looked at the newest sees the newest again
    newest = max;
    return { max };
  });
  app.follow = follow;
  const caption = element("p", {});
  box.append(app.controls, caption);
  outer.append(box);
  app.controls = controls;
  const row = element("div", { class: "shira-row" });
  box.append(row);
  const tiles = app.picture("tile_canvas", { levels: view([0]), shape: [1, 1], brightness: 1, alt: "" }, row);
  const plot = app.picture("spectrum_plot", { ...spectrumPicture([], 1, ""), y_title: "singular value" }, row);

  return (history) => {
    now = history;
    box.hidden = !now.pictures.length;
    if (box.hidden) return;
    for (const follower of draw) follower();
    const place = state.measurement - 1;
    const [picture, point] = [pictures()[place], now.ranks.filter(({ layer }) => layer === state.layer)[place]];
    const control = now.controls.find(({ layer }) => layer === state.layer);
    const brightest = Math.max(...pictures().map(({ largest }) => largest));
    tiles.show({
      levels: new DataView(bytesOf(picture.levels).buffer),
      shape: picture.shape,
      brightness: brightest ? picture.largest / brightest : 0,
      alt: `The update of ${state.layer} after step ${picture.step}, dark where an entry is large.`,
    });
    const said = (one) => ranksInWords({ rank: one.rank, stable: one.stable_rank, effective: one.effective_rank });
    const size = Math.hypot(...point.singular_values) / (Math.hypot(...control.singular_values) || 1);
    const curves = [
      ["update", BLUE, point.singular_values.slice(0, point.rank)],
      [RANDOM, GREY, control.singular_values.slice(0, size ? control.rank : 0).map((value) => value * size)],
    ];
    plot.show(spectrumPicture(curves, Math.min(...point.shape), `update ${said(point)}; ${RANDOM} ${said(control)}`));
    caption.textContent =
      `After step ${picture.step}: largest entry ${general(picture.largest, 3)}, ${said(point)}. With ${RANDOM}: ` +
      `${said(control)}. A dark tile holds a large entry; all measurements share one scale.`;
  };
}
