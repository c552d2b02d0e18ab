// Two adapters on one model at a grid of scales: what both worlds lose, and what the model generates.
import { cards } from "./texts.js";
import { element, escaped, fixed, general } from "./words.js";

const [SKY, BLUE, VERMILLION, GREY] = ["#56B4E9", "#0072B2", "#D55E00", "#767676"];
const [WIDTH, LEFT, ROW] = [520, 70, 52];

export function fusionLab(app, { fusion }) {
  const { state } = app;
  const { worlds, moments, base, alone } = fusion;
  const scales = [...new Set(moments.map(({ scales: [first] }) => first))];
  const [step, max] = [scales[1] - scales[0], scales.at(-1)];
  const nearest = (scale) => Math.min(max, step * Math.round(scale / step));
  worlds.forEach((world, place) => app.slider(`scale_${place + 1}`, () => ({ min: 0, max, step }), `scale of ${world}`));
  app.view.append(app.status);
  const [losses, texts] = [element("div", { class: "shira-part" }), element("div", {})];
  app.view.append(losses, texts);
  app.view.append(element("p", { class: "shira-note" }, fusion.note));
  let [before, now] = [null, null];
  app.follow(() => {
    Object.assign(state, { scale_1: nearest(state.scale_1), scale_2: nearest(state.scale_2) });
    const found = moments.find(({ scales: [a, b] }) => a === state.scale_1 && b === state.scale_2);
    before = found === now ? before : now || found;
    now = found;
    const said = (moment) => worlds.map((world, i) => `${world} x ${general(moment.scales[i], 6)}`).join(", ");
    losses.innerHTML = lossesSvg(now.excess, before.excess, alone, base, worlds);
    texts.replaceChildren(cards([[`before: ${said(before)}`, before.text], [`now: ${said(now)}`, now.text]]));
    const change = (world) => now.excess[world] - before.excess[world];
    const signed = (value) => `${value < 0 || Object.is(value, -0) ? "" : "+"}${fixed(value, 2)}`;
    const all = worlds.map((world) => `${world} ${fixed(now.excess[world], 2)} (${signed(change(world))})`);
    app.say(`Excess at ${said(now)}: ${all.join(", ")} nats/token.`);
  });
}

// Excess on each world as bars: now, before the last move, and strokes where each adapter and the base model are.
function lossesSvg(now, before, alone, base, worlds) {
  const top = 1.05 * Math.max(0.1, ...worlds.flatMap((world) => [now[world], before[world], base[world]]));
  const length = (value) => (Math.max(0, value) / top) * (WIDTH - LEFT - 60);
  const parts = worlds.flatMap((world, row) => {
    const y = row * ROW;
    const bar = (value, at, height, colour) =>
      `<rect x="${LEFT}" y="${at}" width="${length(value)}" height="${height}" fill="${colour}"/>`;
    const stroke = (value, colour) =>
      `<path d="M${LEFT + length(value)} ${y + 4}v40" stroke="${colour}" stroke-width="2" stroke-dasharray="4 2"/>`;
    return [
      `<text x="0" y="${y + 25}">${escaped(world)}</text>`,
      bar(before[world], y + 32, 7, SKY),
      bar(now[world], y + 10, 20, BLUE),
      `<text x="${LEFT + length(now[world]) + 6}" y="${y + 25}">${fixed(now[world], 2)}</text>`,
      stroke(alone[world], VERMILLION),
      stroke(base[world], GREY),
    ];
  });
  const said = worlds.map(
    (world) =>
      `${world}: now ${fixed(now[world], 2)}, before ${fixed(before[world], 2)}, its adapter alone ` +
      `${fixed(alone[world], 2)}, base model ${fixed(base[world], 2)}`,
  );
  const height = ROW * worlds.length;
  return (
    `<svg role="img" aria-label="excess in nats per token, ${escaped(said.join("; "))}" viewBox="0 0 ${WIDTH} ${height}" ` +
    `width="${WIDTH}" style="font:13px system-ui,sans-serif;fill:currentColor">${parts.join("")}</svg>`
  );
}
