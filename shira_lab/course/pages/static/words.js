// Numbers and states as Python writes them.
export const whole = (number) => Number(number).toLocaleString("en-US", { maximumFractionDigits: 0 });

// As Python rounds: of two decimals that are equally near, the even one. `toFixed` takes the larger.
export function fixed(number, digits) {
  const exact = number.toFixed(digits + 40);
  const cut = exact.slice(0, -40);
  const tie = /^50*$/.test(exact.slice(-40)) && /[02468]\.?$/.test(cut);
  return tie ? cut.replace(/\.$/, "") : number.toFixed(digits);
}

// A number of at most so many digits, as Python's format "g" has it.
export function general(number, digits) {
  if (number === 0) return "0";
  const power = Number(number.toExponential(digits - 1).split("e")[1]);
  const short = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (power >= -4 && power < digits) return short(number.toFixed(digits - 1 - power));
  const [head, tail] = number.toExponential(digits - 1).split("e");
  return `${short(head)}e${tail[0]}${tail.slice(1).padStart(2, "0")}`;
}

export const percent = (share, digits = 2) => `${fixed(100 * share, digits)}%`;

// A float as Python's repr has it: 1.0, 0.05, 1e-05.
export function float(number) {
  const text = String(number);
  if (/e/.test(text)) return text.replace(/e([+-])(\d)$/, "e$10$2");
  if (number !== 0 && Math.abs(number) < 1e-4) {
    return number.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }
  return /\./.test(text) ? text : `${text}.0`;
}

// Parts of a command line as shlex joins and splits them.
const quoted = (part) => (/^[\w@%+=:,./-]+$/.test(part) ? part : `'${part.replaceAll("'", `'"'"'`)}'`);
export const join = (parts) => parts.map(quoted).join(" ");
export const split = (text) =>
  (text.match(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g) || []).map((part) => part.replace(/'([^']*)'|"([^"]*)"/g, "$1$2"));

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Rows of texts as a table, the first of each its name. With a `head`, numbers stand to the right; `colours` by name are
// those of a stroke before it.
export function table(rows, head = null, colours = {}) {
  const cells = ([name, ...values]) => {
    const first = element("th", { scope: "row" }, name);
    if (name in colours) {
      const stroke = element("i", { class: "shira-stroke" });
      stroke.style.background = colours[name];
      first.prepend(stroke);
    }
    return element("tr", {}, first, ...values.map((value) => element("td", {}, value)));
  };
  const made = element("table", { class: head ? "shira-table" : "shira-facts" });
  if (head) {
    const names = head.map((name) => element("th", { scope: "col" }, name));
    made.append(element("thead", {}, element("tr", {}, ...names)));
  }
  made.append(element("tbody", {}, ...rows.map(cells)));
  return made;
}

export const escaped = (text) => text.replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);
