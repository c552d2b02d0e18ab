// What a model generated, as cards beside each other.
import { element } from "./words.js";

export function cards(texts) {
  const made = texts.map(([title, text]) => element("section", {}, element("strong", {}, title), element("br"), text));
  return element("div", { class: "shira-cards" }, ...made);
}
