import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes } from "./agent.ts";
import { N1, N2, N3 } from "./agent-cluster.ts";
import { probeConfig } from "./probe-nodes.ts";
import { BINARY, read, run } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

const PAGE = read(`${import.meta.dir}/../../docs/cli.md`);

/** Fields that a section of the page has: `a.b[].c`; `….c` goes on from the name before it; `a.*` stands for all below. */
function documented(section: string): Set<string> {
  const text = PAGE.split(`\n### ${section}\n`)[1]?.split(/\n##/)[0] ?? "";
  const found = new Set<string>();
  let last = "";
  for (const [, name = ""] of text.matchAll(/`([\w.[\]…*]+)`(?=[^|\n]*\|[^\n]*\|)/g)) {
    const whole = name.startsWith("….") ? `${last.slice(0, last.lastIndexOf("."))}${name.slice(1)}` : name;
    found.add(whole);
    last = whole;
  }
  return found;
}

/** Fields of a document: `a.b[].c`; values of lists of plain values are `a[]`. */
function fieldsOf(value: unknown, path = ""): string[] {
  if (Array.isArray(value))
    return value.length === 0 ? [`${path}[]`] : value.flatMap((item) => fieldsOf(item, `${path}[]`));
  if (typeof value !== "object" || value === null) return [path];
  return Object.entries(value).flatMap(([name, item]) =>
    fieldsOf(item, path === "" ? name : `${path}.${name}`),
  );
}

/** Fields that the page does not tell of. */
function untold(section: string, document: unknown, more: ReadonlySet<string> = new Set()): string[] {
  const known = documented(section);
  const isKnown = (field: string): boolean => {
    if (known.has(field) || more.has(field)) return true;
    // An object that is null, a list that is empty, a map with all below it.
    if ([...known, ...more].some((name) => name.startsWith(`${field}.`))) return true;
    return [...known].some((name) => name.endsWith(".*") && field.startsWith(name.slice(0, -1)));
  };
  return [...new Set(fieldsOf(document))].filter((field) => !isKnown(field));
}

describe("--json", () => {
  let node: AgentNode;
  beforeAll(async () => {
    node = new AgentNode();
    node.nodes(N1, N2, N3, { apiVersion: "v1", kind: "Node", metadata: { name: "odd" } });
    await node.up();
    node.ip("route", "del", "10.244.2.0/24");
    await node.until("a repair is told", () => (document("status").report?.repairs ?? []).length > 3);
  });

  const document = (...words: string[]) => {
    const folders =
      words[0] === "trace"
        ? []
        : [
            ...["--state-dir", node.stateDir, "--conf-dir", node.confDir],
            ...(words[0] === "ipam" ? [] : ["--data-dir", node.dataDir]),
            // The conflist's own store is the machine's.
            ...(words[0] === "connectivity" ? ["--config", probeConfig(node)] : []),
          ];
    const done = run(["nsenter", `--net=${node.netns}`, BINARY, ...words, ...folders, "--json"]);
    if (done.exitCode === 2) throw new Error(`${words.join(" ")}: ${done.stderr}`);
    return JSON.parse(done.stdout);
  };

  test.each([
    ["status --cluster", ["status", "--cluster"]],
    ["plan", ["plan"]],
    ["doctor", ["doctor", "--no-probe"]],
    ["ipam show", ["ipam", "show"]],
    ["ipam map", ["ipam", "map"]],
    ["ipam verify", ["ipam", "verify"]],
    ["ipam release", ["ipam", "release", "10.244.1.77"]],
    ["connectivity", ["connectivity"]],
    ["trace", ["trace", "--simulate"]],
  ])("of %s has nothing that its page does not tell of, command and version first", (section, words) => {
    const found = document(...words);
    expect(untold(section, found)).toEqual([]);
    expect(Object.keys(found).slice(0, 2)).toEqual(["command", "version"]);
    expect(found.version).toBe(1);
  });

  test("of status has nothing that its page does not tell of, the agent's report among it", () => {
    const reported = [...documented("The agent's report")].map((name) => `report.${name}`);
    const found = document("status");
    expect(
      untold(
        "status",
        found,
        new Set([
          ...reported.filter((name) => !name.endsWith("*")),
          ...fieldsOf(found).filter((name) => name.startsWith("report.settings.")),
        ]),
      ),
    ).toEqual([]);
  });

  test("every setting that the report tells is one that the page names", () => {
    const text = PAGE.split("`settings.*`")[1]?.split("\n")[0] ?? "";
    for (const name of Object.keys(document("status").report.settings)) expect(text).toContain(`\`${name}`);
  });

  test.each([
    ["status"],
    ["status --cluster"],
    ["plan"],
    ["doctor"],
    ["ipam show"],
    ["ipam map"],
    ["ipam verify"],
    ["ipam release"],
    ["connectivity"],
    ["trace"],
  ])("the page has a table for %s", (section) => {
    expect(documented(section).size).toBeGreaterThan(3);
  });
});
