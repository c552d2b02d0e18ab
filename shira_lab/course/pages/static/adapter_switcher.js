// A shelf of adapters under the arrow keys: the text that each of them generates.
import { cards } from "./texts.js";
import { element } from "./words.js";

export function adapterSwitcher(app, { shelf }) {
  app.slider("number", () => ({ min: 0, max: shelf.texts.length - 1 }), "adapter");
  app.view.append(app.status);
  const texts = element("div", {});
  app.view.append(texts);
  app.view.append(element("p", { class: "shira-note" }, shelf.note));
  app.follow(() => {
    const { name, text } = shelf.texts[app.state.number];
    texts.replaceChildren(cards([[name, text]]));
    app.say(`${name} is chosen.`);
  });
}
