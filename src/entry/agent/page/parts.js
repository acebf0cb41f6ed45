// What every section is drawn with. Texts come from Nodes, the kernel and pods: they go in as text only, never as markup.

/** More rows would make a browser slow: the filter finds the others. */
export const MOST_ROWS = 500;

/** An element with a class, further properties and children; a string child is text. */
export function make(tag, className = "", children = [], attributes = {}) {
  const made = document.createElement(tag);
  if (className !== "") made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function place(id, ...children) {
  document.getElementById(id).replaceChildren(...children);
}

export function write(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}

/** 41 s, 5 min, 3 h, 12 d. */
function formatSpan(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86400)} d`;
}

/** How far the node's clock is ahead of ours, in milliseconds: ages are those the node would tell. */
let aheadMs = 0;

export function setClock(nowMs) {
  aheadMs = nowMs - Date.now();
}

function formatAge(at) {
  const seconds = (Date.now() + aheadMs - Date.parse(at)) / 1000;
  return Number.isNaN(seconds) ? at : `${formatSpan(seconds)} ago`;
}

/** A moment as its age, which goes on by itself. */
export function age(at) {
  return make("time", "", [formatAge(at)], { datetime: at, title: at });
}

export function refreshAges() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const text = formatAge(element.dateTime);
    if (element.textContent !== text) element.textContent = text;
  }
}

/** A word with a mark in front, so that nothing is told by colour alone. */
export function judged(level, text) {
  const mark = { good: "✓", warn: "!", bad: "✗" }[level];
  return make("span", level, [make("span", "", [`${mark} `], { "aria-hidden": "true" }), text]);
}

export function list(items) {
  return make(
    "ul",
    "",
    items.map((item) => make("li", "", [item])),
  );
}

/** Names and values; what has no value is left out. */
export function pairs(rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== "");
  return make(
    "dl",
    "",
    shown.flatMap(([name, value]) => [make("dt", "", [name]), make("dd", "", [value])]),
  );
}

/**
 * A table. `columns`: title, and a class for its cells. Roles are said outright: on a phone rows are drawn as blocks, and
 * browsers take a table that is no table on the screen for none at all.
 */
function table(label, columns, rows) {
  const head = columns.map(([title, className = ""]) =>
    make("th", className === "number" ? className : "", [title], { role: "columnheader", scope: "col" }),
  );
  const body = rows.slice(0, MOST_ROWS).map((row) => {
    const cells = row.map((cell, index) => {
      const [title, className = ""] = columns[index];
      return make("td", className, cell === "" ? [] : [cell], { role: "cell", "data-label": title });
    });
    return make("tr", "", cells, { role: "row" });
  });
  return make(
    "table",
    "",
    [
      make("thead", "", [make("tr", "", head, { role: "row" })], { role: "rowgroup" }),
      make("tbody", "", body, { role: "rowgroup" }),
    ],
    { role: "table", "aria-label": label },
  );
}

/** A table, or a word where it would be empty; more rows than are shown are told. */
export function tableOrWord(label, columns, rows, word) {
  if (rows.length === 0) return [make("p", "quiet", [word])];
  const drawn = [table(label, columns, rows)];
  if (rows.length > MOST_ROWS) {
    const more = `${MOST_ROWS} of ${rows.length} are shown; the filter finds the others.`;
    drawn.unshift(make("p", "warn", [more]));
  }
  return drawn;
}
