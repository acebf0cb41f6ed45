import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { createMetrics } from "../../src/entry/agent/metrics.ts";
import { parseDocuments } from "./manifest-schema.ts";
import { type PromqlUse, readPromql } from "./promql.ts";

const ROOT = `${import.meta.dir}/../..`;
const FOLDER = `${ROOT}/k8s/monitoring`;
const read = (path: string): string => readFileSync(`${ROOT}/${path}`, "utf8");

interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook: string };
}
interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly AlertRule[] }[];
}
interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}
interface Dashboard {
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
  readonly panels: readonly Panel[];
}

const [RULES] = parseDocuments(read("k8s/monitoring/alerts.yaml")) as [RuleFile];
const ALERTS = RULES.groups.flatMap(({ rules }) => rules);
const DASHBOARD: Dashboard = JSON.parse(read("k8s/monitoring/grafana-dashboard.json"));
const PANELS = DASHBOARD.panels.filter(({ type }) => type !== "row");

/** Labels that Prometheus itself gives. */
const OF_PROMETHEUS = ["instance", "job"];
/** A metric's labels, and those of their values that are known beforehand. */
type Known = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

/** All metrics an agent has, under the names by which Prometheus has them. */
async function known(): Promise<Known> {
  const metrics = await createMetrics({ version: "0.1.0", now: () => 0, openFiles: () => 1 });
  const { body } = await metrics.text();
  const found = new Map<string, Map<string, Set<string>>>([["up", new Map()]]);
  for (const metric of metrics.registry.getMetricsAsArray()) {
    const labels = "labelNames" in metric && Array.isArray(metric.labelNames) ? metric.labelNames : [];
    const isHistogram = String(metric.type) === "histogram";
    for (const suffix of isHistogram ? ["_bucket", "_sum", "_count"] : [""]) {
      const own = [...labels.map(String), ...(suffix === "_bucket" ? ["le"] : [])];
      found.set(`${metric.name}${suffix}`, new Map(own.map((label) => [label, new Set<string>()])));
    }
  }
  for (const [, name = "", labels = ""] of body.matchAll(/^([a-z_]+)\{(.*)\} \S+$/gm)) {
    for (const [, label = "", value = ""] of labels.matchAll(/([a-z_]+)="([^"]*)"/g)) {
      found.get(name)?.get(label)?.add(value);
    }
  }
  return found;
}
const KNOWN = await known();

/** What an expression asks for that no agent has. */
function faultsOf({ metrics, grouping }: PromqlUse): string[] {
  const faults = metrics.flatMap(({ name, matchers }) => {
    const labels = KNOWN.get(name);
    if (labels === undefined) return [`no metric ${name}`];
    return matchers.flatMap(({ label, value }) => {
      if (OF_PROMETHEUS.includes(label)) return [];
      const values = labels.get(label);
      if (values === undefined) return [`${name} has no label ${label}`];
      return value
        .split("|")
        .filter((one) => !values.has(one))
        .map((one) => `${name} has no ${label} ${one}`);
    });
  });
  const labels = metrics.flatMap(({ name }) => [...(KNOWN.get(name)?.keys() ?? [])]);
  const odd = grouping.filter((label) => ![...labels, ...OF_PROMETHEUS].includes(label));
  return [...faults, ...odd.map((label) => `nothing has the label ${label}`)];
}

/** As Grafana hands it to Prometheus. */
const filledIn = (expr: string) => expr.replaceAll("$__rate_interval", "5m");
/** Labels in the words of an alert or a legend. */
const labelsIn = (text: string) =>
  [...text.matchAll(/\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}/g)].map(([, name]) => name ?? "");

describe("an expression", () => {
  test.each([
    ['minicni_agent_ready{condition="luck"} == 0', "minicni_agent_ready has no condition luck"],
    ["minicni_agent_luck > 0", "no metric minicni_agent_luck"],
    ['minicni_agent_nodes{path="none"}', "minicni_agent_nodes has no label path"],
    ["sum by (luck) (minicni_agent_nodes)", "nothing has the label luck"],
    ["rate(minicni_agent_call_duration_seconds[5m])", "no metric minicni_agent_call_duration_seconds"],
  ])("%s is found out", (expr, fault) => {
    expect(faultsOf(readPromql(expr))).toEqual([fault]);
  });

  test.each(["sum(minicni_agent_nodes", 'a{b="c"]', "rate(x[5m)", "a ! b", "sum"])(
    "%s is refused",
    (expr) => {
      expect(() => readPromql(expr)).toThrow();
    },
  );
});

describe("k8s/monitoring/alerts.yaml:", () => {
  test("has alerts, each of one name", () => {
    expect(ALERTS.length).toBeGreaterThan(15);
    expect(new Set(ALERTS.map(({ alert }) => alert)).size).toBe(ALERTS.length);
  });

  test.each(ALERTS)("$alert asks for what agents tell", ({ expr }) => {
    expect(faultsOf(readPromql(expr))).toEqual([]);
  });

  test.each(ALERTS)("$alert says how bad it is, what it is and where to read on", (rule) => {
    expect(rule.alert).toMatch(/^Minicni[A-Z][A-Za-z]+$/);
    expect(rule.for).toMatch(/^[1-9][0-9]*[mh]$/);
    expect(["critical", "warning"]).toContain(rule.labels.severity);
    expect(rule.annotations.summary).toMatch(/^.{20,100}$/);
    expect(rule.annotations.summary).not.toMatch(/\.$/);
    expect(rule.annotations.description).toMatch(/^.{20,400}\.$/);
  });

  test.each(ALERTS)("$alert leads to a check of the doctor", ({ annotations: { runbook } }) => {
    expect(runbook).toMatch(/^docs\/operations\.md#(a([1-9]|1[0-2])|b([1-9]|1[0-4]))$/);
    const [page = "", anchor] = runbook.split("#");
    if (existsSync(`${ROOT}/${page}`)) expect(read(page)).toContain(`<a id="${anchor}"></a>`);
  });

  test.each(ALERTS)("$alert speaks of labels that are left", ({ expr, annotations }) => {
    const { metrics, grouping } = readPromql(expr);
    const all = metrics.flatMap(({ name }) => [...(KNOWN.get(name)?.keys() ?? []), ...OF_PROMETHEUS]);
    const left = /\bby\b/.test(expr.replace(/and on .*/s, "")) ? grouping : all;
    const spoken = labelsIn(`${annotations.summary} ${annotations.description}`);
    expect(spoken.filter((label) => !left.includes(label))).toEqual([]);
  });

  test("is the same for the operator", () => {
    const [resource] = parseDocuments(read("k8s/monitoring/alerts-operator.yaml"));
    expect(resource).toMatchObject({ apiVersion: "monitoring.coreos.com/v1", kind: "PrometheusRule" });
    expect(Object(resource).spec).toEqual(RULES);
  });
});

describe("k8s/monitoring/grafana-dashboard.json:", () => {
  test("has panels, each at a place of its own", () => {
    expect(PANELS.length).toBeGreaterThan(20);
    expect(new Set(DASHBOARD.panels.map(({ id }) => id)).size).toBe(DASHBOARD.panels.length);
    const taken = new Set<string>();
    for (const { title, gridPos } of DASHBOARD.panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(`${title} ${taken.has(`${x},${y}`)}`).toBe(`${title} false`);
          taken.add(`${x},${y}`);
        }
      }
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    }
  });

  test.each(PANELS)("$title asks the chosen source for what the chosen agents tell", (panel) => {
    expect(panel.description).toMatch(/\.$/);
    expect(panel.datasource?.uid).toMatch(/^\$\{datasource\}$/);
    expect(panel.targets?.length).toBeGreaterThan(0);
    for (const { expr, legendFormat } of panel.targets ?? []) {
      const used = readPromql(filledIn(expr));
      expect(faultsOf(used)).toEqual([]);
      for (const { name, matchers } of used.metrics) {
        expect([name, matchers[0]]).toEqual([name, { label: "instance", op: "=~", value: "$instance" }]);
      }
      const labels = used.metrics.flatMap(({ name }) => [...(KNOWN.get(name)?.keys() ?? []), "instance"]);
      const left = / by \(/.test(expr) ? used.grouping : labels;
      expect(labelsIn(legendFormat).filter((label) => !left.includes(label))).toEqual([]);
    }
  });

  test("knows the variables that its expressions have", () => {
    const variables = DASHBOARD.templating.list.map(({ name }) => name);
    expect(variables).toEqual(["datasource", "instance"]);
    const text = JSON.stringify(DASHBOARD.panels);
    const used = [...text.matchAll(/\$\{?([a-zA-Z_]+)/g)].map(([, name]) => name ?? "");
    expect([...new Set(used)].sort()).toEqual(["__rate_interval", "datasource", "instance"]);
    expect(DASHBOARD.templating.list[1]?.definition).toBe("label_values(minicni_agent_build_info, instance)");
    expect(KNOWN.has("minicni_agent_build_info")).toBe(true);
  });

  test("shows every metric there is", () => {
    const text = PANELS.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)).join("\n");
    const names = [...KNOWN.keys()].filter((name) => !/_(sum|count)$|^up$|start_time_seconds$/.test(name));
    expect(names.filter((name) => !text.includes(`${name}{`))).toEqual([]);
  });
});

const PROMTOOL = Bun.which("promtool");
const WHY = PROMTOOL === null ? " (not tested: there is no promtool)" : "";

describe("Prometheus itself", () => {
  const promtool = (...words: string[]) => {
    const done = Bun.spawnSync({ cmd: [PROMTOOL ?? "", ...words], stdout: "pipe", stderr: "pipe" });
    return `${done.exitCode} ${done.exitCode === 0 ? "" : `${done.stdout}${done.stderr}`}`;
  };

  test.skipIf(PROMTOOL === null)(`takes the rules${WHY}`, () => {
    expect(promtool("check", "rules", `${FOLDER}/alerts.yaml`)).toBe("0 ");
  });

  test.skipIf(PROMTOOL === null)(`alerts when it should, and only then${WHY}`, () => {
    expect(promtool("test", "rules", `${import.meta.dir}/monitoring-rules.yaml`)).toBe("0 ");
  });
});
