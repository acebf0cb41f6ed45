// The agent's own page: asks for its state again and again, and draws what changed.

import { drawAttachments, drawPools } from "./map.js";
import {
  age,
  judged,
  list,
  MOST_ROWS,
  make,
  pairs,
  place,
  refreshAges,
  setClock,
  tableOrWord,
  write,
} from "./parts.js";

const PERIOD_MS = 2_000;
const PATIENCE_MS = 5_000;

/** What is wrong now, worst first. */
function listFaults(report) {
  const bad = [
    ...report.readiness
      .filter(({ fault }) => fault !== null)
      .map(({ name, fault }) => `not ready, ${name}: ${fault}`),
    ...report.loops.filter(({ fault }) => fault !== null).map(({ name, fault }) => `loop ${name}: ${fault}`),
    ...report.rules.faults.map((fault) => `rules: ${fault}`),
    ...(report.nodes.fault === null ? [] : [`Nodes: ${report.nodes.fault}`]),
    ...report.conflicts.map((conflict) => `route conflict: ${conflict}`),
  ];
  const warn = [
    ...report.readiness
      .filter(({ warning }) => warning !== null)
      .map(({ name, warning }) => `${name}: ${warning}`),
    ...report.rules.warnings.map((warning) => `rules: ${warning}`),
    ...report.nodes.faulty.map(({ node, message }) => `Node ${node} is left out: ${message}`),
  ];
  const unreached = report.peers.filter(({ path }) => path === "none").length;
  if (unreached > 0) bad.push(`${unreached} of ${report.peers.length} peers are not reached: see Peers`);
  return { bad: [...new Set(bad)], warn: [...new Set(warn)] };
}

function drawHead(report, faults) {
  write("node", report.settings.node);
  document.title = `${report.settings.node} · minicni`;
  const isReady = report.readiness.every(({ fault }) => fault === null);
  const isAlive = report.loops.every(({ fault }) => fault === null);
  const [level, word] = !isReady
    ? ["bad", "not ready"]
    : !isAlive
      ? ["bad", "a loop is late"]
      : faults.bad.length + faults.warn.length > 0
        ? ["warn", "ready, with faults"]
        : ["good", "ready"];
  const verdict = document.getElementById("verdict");
  verdict.className = `badge ${level}`;
  verdict.replaceChildren(judged(level, word));
  const about = [`minicni ${report.minicni}, process ${report.pid}, started `, age(report.startedAt)];
  if (report.lastSyncAt === null) about.push("; nothing in place yet");
  else about.push("; all in place ", age(report.lastSyncAt));
  place("about", ...about);
}

function drawFaults({ bad, warn }) {
  const all = [...bad.map((text) => judged("bad", text)), ...warn.map((text) => judged("warn", text))];
  const shown = all.slice(0, MOST_ROWS);
  if (all.length > shown.length) shown.push(`and ${all.length - shown.length} more`);
  place("faults", all.length === 0 ? judged("good", "nothing") : list(shown));
}

function drawHealth(report) {
  const state = (fault, warning = null) =>
    fault !== null ? judged("bad", fault) : warning !== null ? judged("warn", warning) : judged("good", "ok");
  const rows = [
    ...report.readiness.map(({ name, fault, warning }) => [name, state(fault, warning)]),
    ...report.loops.map(({ name, fault }) => [`loop ${name}`, state(fault)]),
  ];
  const head = [["Condition"], ["State"]];
  place("health", ...tableOrWord("Health", head, rows, "not known yet"));
}

function drawRoutes(report) {
  const rows = report.routes.map(({ family, desired, programmed }) => {
    const missing = desired - programmed;
    const state = missing === 0 ? judged("good", "all") : judged("bad", `${missing} missing`);
    return [`IPv${family}`, String(desired), String(programmed), state];
  });
  const columns = [["Family"], ["Desired", "number"], ["Programmed", "number"], ["State"]];
  const conflicts = report.conflicts.slice(0, MOST_ROWS).map((text) => judged("bad", text));
  place(
    "routes",
    ...tableOrWord("Routes to peers", columns, rows, "not known yet"),
    make("h3", "", ["Conflicts with routes of others"]),
    conflicts.length === 0 ? make("p", "quiet", ["none"]) : list(conflicts),
  );
}

function drawNetwork(report) {
  const { settings, nodes, rules } = report;
  const source = [nodes.source, nodes.isLive ? ", live" : ", not live"];
  if (nodes.heardAt !== null) source.push(", heard ", age(nodes.heardAt));
  const heard = make("span", "", source);
  const tunnels = report.tunnels.map(({ name, underlay }) => `${name} (over IPv${underlay})`);
  place(
    "network",
    pairs([
      ["Nodes", String(nodes.known)],
      ["From", heard],
      ["Pod CIDRs", report.podCidrs.join(", ")],
      ["Cluster CIDRs", report.clusterCidrs.join(", ")],
      ["Backend", settings.backend],
      ["Tunnels", tunnels.length === 0 ? "none" : tunnels.join(", ")],
      ["MTU of pods", report.mtu === 0 ? "not known yet" : `${report.mtu} bytes`],
      ["Rules", rules.variant === null ? "none" : `iptables, ${rules.variant}`],
      ["Masquerade", settings.masquerade ? "what leaves the cluster" : "nothing"],
    ]),
  );
}

function drawPeers(report) {
  const wanted = document.getElementById("peers-text").value.trim().toLowerCase();
  const path = document.getElementById("peers-path").value;
  const matches = (peer) => {
    if (path === "fault" ? peer.fault === null : path !== "" && peer.path !== path) return false;
    if (wanted === "") return true;
    const words = [peer.name, ...peer.addresses, ...peer.podCidrs, peer.fault ?? ""];
    return words.some((word) => word.toLowerCase().includes(wanted));
  };
  const counts = { direct: 0, tunnel: 0, none: 0 };
  for (const peer of report.peers) counts[peer.path] += 1;
  write(
    "peers-count",
    `${report.peers.length}: ${counts.direct} direct, ${counts.tunnel} by tunnel, ${counts.none} not reached`,
  );
  const found = report.peers.filter(matches);
  // Those with a fault are what somebody looks for.
  const sorted = [
    ...found.filter(({ fault }) => fault !== null),
    ...found.filter(({ fault }) => fault === null),
  ];
  const rows = sorted.map((peer) => [
    peer.name,
    peer.addresses.join(", "),
    peer.podCidrs.join(", "),
    peer.path === "none" ? judged("bad", "none") : peer.path,
    peer.fault === null ? "" : make("span", "bad", [peer.fault]),
  ]);
  const columns = [["Name"], ["Addresses", "mono"], ["Pod CIDRs", "mono"], ["Path"], ["Fault"]];
  const word = report.peers.length === 0 ? "no other Node is known" : "none matches";
  place("peers", ...tableOrWord("Peers", columns, rows, word));
}

function drawRepairs(report) {
  const rows = report.repairs
    .toReversed()
    .map(({ at, object, cause, count, change }) => [age(at), object, cause, String(count), change]);
  const columns = [["When"], ["Object"], ["Cause"], ["Count", "number"], ["Change", "mono"]];
  place("repairs", ...tableOrWord("Last repairs", columns, rows, "none"));
}

/** What each part was drawn from: what did not change is left as it is, with its selection and its scrolling. */
const drawn = new Map();

function drawNew(part, from, draw) {
  const key = JSON.stringify(from);
  if (drawn.get(part) === key) return;
  drawn.set(part, key);
  draw();
}

function drawReport(report) {
  const { readiness, loops, routes, conflicts, peers, repairs } = report;
  const faults = listFaults(report);
  drawHead(report, faults);
  drawNetwork(report);
  drawNew("faults", faults, () => drawFaults(faults));
  drawNew("health", [readiness, loops], () => drawHealth(report));
  drawNew("routes", [routes, conflicts], () => drawRoutes(report));
  drawNew("peers", peers, () => drawPeers(report));
  drawNew("repairs", repairs, () => drawRepairs(report));
}

/** The last answer of each path, as text and as what it says. */
const last = { "/status.json": { text: "", value: null }, "/pool.json": { text: "", value: null } };
let answeredAt = null;

async function ask(path) {
  const options = { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
  const answer = await fetch(path, options);
  const text = await answer.text();
  if (!answer.ok) throw new Error(text.trim() || `status ${answer.status}`);
  const date = Date.parse(answer.headers.get("date") ?? "");
  if (!Number.isNaN(date)) setClock(date);
  const before = last[path];
  if (before.text === text) return false;
  last[path] = { text, value: JSON.parse(text) };
  return true;
}

function tellConnection(fault) {
  const element = document.getElementById("connection");
  element.className = fault === null ? "connection" : "connection lost";
  write("connection", fault ?? "live, asked every 2 s");
}

function describeSilence(error) {
  const since = answeredAt === null ? "" : ` since ${answeredAt.toLocaleTimeString()}`;
  const kept = answeredAt === null ? "" : " Below is what it said last.";
  return `The agent does not answer${since} (${error.message}).${kept}`;
}

async function look() {
  let isNew;
  try {
    isNew = await Promise.all([ask("/status.json"), ask("/pool.json")]);
  } catch (error) {
    return tellConnection(describeSilence(error));
  }
  answeredAt = new Date();
  const [isNewReport, isNewPool] = isNew;
  try {
    if (isNewReport) drawReport(last["/status.json"].value);
    if (isNewPool) {
      drawPools(last["/pool.json"].value);
      drawAttachments(last["/pool.json"].value);
    }
    tellConnection(null);
  } catch (error) {
    tellConnection(`What the agent says can't be shown: ${error.message}`);
  }
}

/** Nobody looks at a page in the background: it asks again once it is seen. */
async function follow() {
  if (!document.hidden) await look();
  setTimeout(follow, PERIOD_MS);
}

function onFilter(ids, path, draw) {
  for (const id of ids) {
    document.getElementById(id).addEventListener("input", () => {
      if (last[path].value !== null) draw(last[path].value);
    });
  }
}

// Lists that scroll have to be reached by keyboard in every browser, and have a name then.
for (const element of document.querySelectorAll(".scroll")) {
  element.tabIndex = 0;
  element.setAttribute("role", "region");
  element.setAttribute("aria-label", element.dataset.name);
}
onFilter(["peers-text", "peers-path"], "/status.json", drawPeers);
onFilter(["attachments-text"], "/pool.json", drawAttachments);
setInterval(refreshAges, 1_000);
follow();
