// The address of a page holds the state of its apps: #MaskExplorer-1=layer%3D...&RankExplorer-2=...
import { element } from "./words.js";

function states() {
  const parts = location.hash.slice(1).split("&").map((part) => part.split("="));
  return new Map(parts.filter((part) => part.length === 2).map(([id, text]) => [id, decoded(text)]));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // a link that was cut on its way
  }
}

export const stateOf = (id) => states().get(id) || "";

// This page's address with the state of one app, and with no other.
export function linkOf(app) {
  return `${location.href.split("#")[0]}#${app.id}=${encodeURIComponent(app.stateText)}`;
}

// After a move the address says so, and the way back in the browser's history stays short.
export function keep(app) {
  const all = states().set(app.id, app.stateText);
  const hash = [...all].map(([id, text]) => `${id}=${encodeURIComponent(text)}`).join("&");
  history.replaceState(null, "", `#${hash}`);
}

// A button that copies the link, and shows it where the browser keeps the clipboard to itself.
export function copyLink(app) {
  const shown = element("input", { type: "text", readonly: "", class: "shira-link", "aria-label": "link to this state" });
  const said = element("span", { role: "status" });
  shown.hidden = true;
  const row = element("div", { class: "shira-row shira-foot" });
  app.button("Copy link", async () => {
    shown.value = linkOf(app);
    try {
      await navigator.clipboard.writeText(shown.value);
      said.textContent = "The link is copied.";
    } catch {
      shown.hidden = false;
      shown.select();
      said.textContent = "Copy the marked text.";
    }
  }, row);
  row.append(shown, said);
  return row;
}
