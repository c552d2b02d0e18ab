// Numbers and states as Python writes them.
export const whole = (number) => number.toLocaleString("en-US", { maximumFractionDigits: 0 });

// As Python rounds: of two decimals that are equally near, the even one. `toFixed` takes the larger.
export function fixed(number, digits) {
  const exact = number.toFixed(digits + 40);
  const cut = exact.slice(0, -40);
  const tie = /^50*$/.test(exact.slice(-40)) && /[02468]\.?$/.test(cut);
  return tie ? cut.replace(/\.$/, "") : number.toFixed(digits);
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

// Facts as a table, a name and its value in each row.
export function table(rows) {
  const lines = rows.map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)),
  );
  return element("table", { class: "shira-facts" }, element("tbody", {}, ...lines));
}
