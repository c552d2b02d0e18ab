// What counting foretells of each cost, and what was measured, as the layer grows.
import { element } from "./words.js";

export function countAndClock(app, { speed }) {
  const sizes = speed.moments.map(({ size }) => size);
  app.slider("size", () => ({ max: sizes.at(-1), stops: sizes }), "m = n");
  app.view.append(app.status);
  const picture = element("div", { class: "shira-scroll", tabindex: "0", role: "region", "aria-label": "costs" });
  app.view.append(picture);
  app.view.append(element("p", { class: "shira-note" }, speed.note));
  app.follow(() => {
    const { svg, said } = speed.moments.find(({ size }) => size === app.state.size);
    picture.innerHTML = svg;
    picture.firstElementChild.style.maxWidth = ""; // a small window scrolls it, where a notebook would shrink it
    app.say(said);
  });
}
