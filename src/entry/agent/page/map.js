// The addresses: one map for each range, and who holds what.

import { make, place, tableOrWord, write } from "./parts.js";

/** Cells by what they stand out by, with the legend's words. */
const MARKS = {
  free: "free",
  held: "in use",
  next: "free, given next",
  gateway: "gateway",
  outside: "never given out",
  leaked: "its pod looks gone",
};

function describeCell(cell) {
  const name = cell.first === cell.last ? cell.first : `${cell.first} to ${cell.last}`;
  const isMany = cell.size > 1;
  const count = isMany && cell.mark !== "free" ? `, ${cell.held} of ${cell.size} in use` : "";
  const more = cell.held > cell.holders.length ? ` and ${cell.held - cell.holders.length} more` : "";
  const names = cell.holders.filter((holder) => holder !== "");
  const holders = names.length === 0 ? "" : `, by ${names.join(", ")}${more}`;
  return `${name}: ${MARKS[cell.mark]}${count}${holders}`;
}

function drawCell(cell, id) {
  const fill = cell.size > 0 ? Math.min(1, cell.held / cell.size) : 0;
  const level = make("div");
  // A single address in a large part has to be seen all the same.
  level.style.height = fill === 0 ? "0" : `${Math.max(15, Math.round(fill * 100))}%`;
  const text = describeCell(cell);
  const attributes = { id, role: "option", title: text, "aria-label": text, "aria-selected": "false" };
  return make("div", `cell ${cell.mark}`, [level], attributes);
}

/** A cell without a meaning of its own, for the legend. */
function drawSample(mark) {
  const level = make("div");
  level.style.height = mark === "held" || mark === "leaked" ? "100%" : "0";
  return make("div", `cell ${mark}`, [level], { "aria-hidden": "true" });
}

/** Which cell is chosen in which map, so that a map that is drawn anew keeps it. */
const chosenCells = new Map();

/** The map of one range: a list of cells that arrow keys, the mouse and a finger walk, and a line that tells of one. */
function drawMap(range, name, index) {
  const detail = make("p", "mono", [], { "aria-hidden": "true" });
  const cells = range.cells.map((cell, at) => drawCell(cell, `cell-${index}-${at}`));
  const map = make("div", "map", cells, { role: "listbox", tabindex: "0", "aria-label": `Map of ${name}` });
  let chosen = null;
  const choose = (at) => {
    if (chosen !== null) {
      cells[chosen].classList.remove("chosen");
      cells[chosen].setAttribute("aria-selected", "false");
    }
    chosen = Math.min(cells.length - 1, Math.max(0, at));
    chosenCells.set(name, chosen);
    cells[chosen].classList.add("chosen");
    cells[chosen].setAttribute("aria-selected", "true");
    map.setAttribute("aria-activedescendant", cells[chosen].id);
    detail.textContent = describeCell(range.cells[chosen]);
  };
  const columns = () => {
    const top = cells[0].offsetTop;
    const next = cells.findIndex((cell) => cell.offsetTop !== top);
    return next === -1 ? cells.length : next;
  };
  map.addEventListener("keydown", (event) => {
    const at = chosen ?? 0;
    const steps = {
      ArrowRight: () => at + 1,
      ArrowLeft: () => at - 1,
      ArrowDown: () => at + columns(),
      ArrowUp: () => at - columns(),
      Home: () => 0,
      End: () => cells.length - 1,
    };
    const step = steps[event.key];
    if (step === undefined || cells.length === 0) return;
    event.preventDefault();
    choose(step());
  });
  map.addEventListener("focus", () => {
    if (chosen === null && cells.length > 0) choose(0);
  });
  const pointed = (event) => {
    const at = cells.indexOf(event.target.closest(".cell"));
    if (at !== -1) choose(at);
  };
  map.addEventListener("pointerover", pointed);
  map.addEventListener("click", pointed);
  const kept = chosenCells.get(name);
  if (kept !== undefined && cells.length > 0) choose(kept);
  return [map, detail];
}

/** Whole numbers up to 2^53, beyond it as a power of two. */
function formatCount(text) {
  const count = Number(text);
  return count <= Number.MAX_SAFE_INTEGER ? String(count) : `2^${Math.round(Math.log2(count))}`;
}

function drawRange(range, index) {
  const name = `${range.network} ${range.subnet}`;
  const share = (range.held / Number(range.size)) * 100;
  const percent = share > 0 && share < 1 ? "<1" : Math.floor(share);
  const odd = range.leaked === 0 ? "" : `, ${range.leaked} of pods that look gone`;
  const figures = `${range.held} of ${formatCount(range.size)} in use (${percent} %)${odd}`;
  const level = make("div");
  level.style.width = `${share}%`;
  const marks = Object.keys(MARKS).filter((mark) => range.cells.some((cell) => cell.mark === mark));
  const legend = marks.map((mark) => make("li", "", [drawSample(mark), MARKS[mark]]));
  if (range.perCell !== "1") {
    const words = `a block stands for ${formatCount(range.perCell)} addresses, filled as far as they are in use`;
    legend.push(make("li", "", [words]));
  }
  const rest = range.hidden === 0 ? "" : `, and ${range.hidden} in use beyond it`;
  if (range.isPart) legend.push(make("li", "", [`the beginning of the range${rest}`]));
  return make("div", "", [
    make("h3", "", [name]),
    make("p", share >= 90 || range.leaked > 0 ? "warn" : "", [figures]),
    make("div", "bar", [level], { "aria-hidden": "true" }),
    ...(range.cells.length === 0 ? [] : drawMap(range, name, index)),
    make("ul", "legend", legend),
  ]);
}

export function drawPools(pool) {
  const hadFocus = document.activeElement?.getAttribute("aria-label");
  const faults = pool.faults.map((fault) => make("p", "bad", [fault]));
  const ranges = pool.ranges.map(drawRange);
  const word = make("p", "quiet", ["no range of addresses is known yet"]);
  place("pools", ...faults, ...(ranges.length === 0 ? [word] : ranges));
  const maps = document.querySelectorAll("#pools .map");
  for (const map of maps) if (map.getAttribute("aria-label") === hadFocus) map.focus();
}

export function drawAttachments(pool) {
  const wanted = document.getElementById("attachments-text").value.trim().toLowerCase();
  const rows = pool.attachments
    .map((one) => [one.addresses.join(", "), one.pod, one.containerId, one.ifname, one.network, one.note])
    .filter((row) => wanted === "" || row.join(" ").toLowerCase().includes(wanted));
  const columns = [
    ["Addresses", "mono"],
    ["Pod"],
    ["Container ID", "mono"],
    ["Interface"],
    ["Network"],
    ["Note"],
  ];
  write("attachments-count", `${pool.attachments.length}`);
  place("attachments", ...tableOrWord("Attachments", columns, rows, wanted === "" ? "none" : "none matches"));
}
