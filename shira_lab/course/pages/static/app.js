// What every app on a page is: its state by name, controls that read and write it, pictures that follow, and its link.
import { Model } from "./model.js";
import { element, float, join, split } from "./words.js";

const KERNEL = "There are two ways to have one: \"make lab\" in a copy of the repository, or the lessons on Binder.";

export class App {
  // Into the element `root`; `spec` has what Python knows of the app: traits, mask types, models.
  constructor(root, spec, widgets) {
    Object.assign(this, { root, spec, widgets, id: root.id, followers: [] });
    this.state = Object.fromEntries(spec.traits.map(({ name, value }) => [name, value]));
    this.controls = element("div", { class: "shira-row" });
    this.view = element("div", {});
    this.status = element("p", { class: "shira-status", role: "status", "aria-live": "polite" });
    this.waiting = [];
  }

  // ---- state -------------------------------------------------------------------------------------------------------

  get stateText() {
    const written = ({ name, kind }) => {
      const value = this.state[name];
      if (kind === "float") return float(value);
      return kind === "bool" ? (value ? "True" : "False") : value;
    };
    return join(this.spec.traits.map((trait) => `${trait.name}=${written(trait)}`));
  }

  // The values of a text that `stateText` or Python's `state_text()` wrote; what it does not name stays.
  read(text) {
    for (const part of split(text)) {
      const [, name, value] = /^(\w+)=(.*)$/s.exec(part) || [];
      const trait = this.spec.traits.find((one) => one.name === name);
      if (!trait) continue;
      if (trait.kind === "str") this.state[name] = value;
      else if (trait.kind === "bool") this.state[name] = value === "True";
      else if (Number.isFinite(Number(value))) this.state[name] = Number(value);
    }
  }

  set(changes) {
    Object.assign(this.state, changes);
    this.draw();
    this.moved?.();
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------

  // `follower` is called after each change, in the order of these calls.
  follow(follower) {
    this.followers.push(follower);
  }

  draw() {
    this.waiting.forEach(clearTimeout);
    this.waiting = [];
    this.replaced = [];
    this.root.dataset.settled = "false";
    for (const follower of this.followers) follower();
    if (this.replaced.length) this.needsKernel(this.replaced.join(", "));
    this.settle();
  }

  // Work that the next move makes needless: after what is drawn now has been painted.
  later(work, milliseconds = 0) {
    const timer = setTimeout(() => {
      this.waiting = this.waiting.filter((one) => one !== timer);
      work();
      this.settle();
    }, milliseconds);
    this.waiting.push(timer);
  }

  settle() {
    if (!this.waiting.length) this.root.dataset.settled = "true";
  }

  say(text, error = false) {
    this.status.textContent = text;
    this.status.classList.toggle("shira-error", error);
  }

  needsKernel(what) {
    this.say(`${what}: this needs a kernel, which the page has not. ${KERNEL}`, true);
  }

  // Another value in the place of one that the page cannot show, as a learner's own mask; `draw` says so.
  replace(name, value) {
    if (this.state[name]) this.replaced.push(`${name}=${this.state[name]}`);
    this.state[name] = value;
  }

  // ---- parts -------------------------------------------------------------------------------------------------------

  // A picture of one of the widgets' modules, in `parent`; returns its model.
  picture(name, values, parent = this.view) {
    const model = new Model(values);
    const el = element("div", { class: `shira-part ${name}` });
    parent.append(el);
    this.widgets[name].render({ model, el });
    return model;
  }

  row(...children) {
    const row = element("div", { class: "shira-row" }, ...children);
    this.view.append(row);
    return row;
  }

  // A slider for the number `name`; `limits()` gives its model's min, max, step and stops in the present state.
  slider(name, limits, description = name) {
    const range = { min: 1, max: 100, step: 1, stops: [] };
    const first = { description, of: "of", value: this.state[name], ...range, disabled: false };
    const model = this.picture("slider", first, this.controls);
    model.on("change", () => {
      if (model.get("value") !== this.state[name]) this.set({ [name]: model.get("value") });
    });
    this.follow(() => {
      const found = { min: 1, step: 1, stops: [], ...limits() };
      this.state[name] = Math.min(found.max, Math.max(found.min, this.state[name]));
      if (found.stops.length) this.state[name] = found.stops.findLast((stop) => stop <= this.state[name]);
      model.show({ ...found, value: this.state[name] });
    });
  }

  // A menu for `name`; `options()` gives [label, value] pairs in the present state, of which one is always chosen.
  menu(name, options, description = name, take = (value) => this.set({ [name]: value })) {
    const select = element("select", {});
    this.controls.append(element("label", { class: "shira-control" }, `${description} `, select));
    select.addEventListener("change", () => take(options()[select.selectedIndex][1]));
    let shown = "";
    this.follow(() => {
      const offered = options();
        if (!offered.some(([, value]) => value === this.state[name])) this.replace(name, offered[0][1]);
      if (JSON.stringify(offered) !== shown) {
        select.replaceChildren(...offered.map(([label]) => element("option", {}, label)));
        shown = JSON.stringify(offered);
      }
      select.selectedIndex = offered.findIndex(([, value]) => value === this.state[name]);
    });
  }

  // A number to type, from `low` to what `high()` says in the present state.
  number(name, low, high, description = name) {
    const input = element("input", { type: "number", min: low });
    this.controls.append(element("label", { class: "shira-control" }, `${description} `, input));
    input.addEventListener("change", () => this.set({ [name]: Math.round(input.valueAsNumber) || low }));
    this.follow(() => {
      this.state[name] = Math.min(high(), Math.max(low, Math.round(this.state[name])));
      input.max = high();
      input.value = this.state[name];
    });
  }

  tick(description, on, change, parent = this.controls) {
    const input = element("input", { type: "checkbox" });
    parent.append(element("label", { class: "shira-control" }, input, ` ${description}`));
    input.addEventListener("change", () => change(input.checked));
    this.follow(() => (input.checked = on()));
  }

  button(description, action, parent = this.controls) {
    const button = element("button", { type: "button", class: "shira-button" }, description);
    button.addEventListener("click", action);
    parent.append(button);
    return button;
  }
}
