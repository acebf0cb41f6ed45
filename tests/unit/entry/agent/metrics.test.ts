import { describe, expect, test } from "bun:test";
import { createMetrics } from "../../../../src/entry/agent/metrics.ts";

const DOCUMENT = `${import.meta.dir}/../../../../docs/metrics.md`;

function open() {
  let ms = 0;
  return {
    pass: (by: number) => {
      ms += by;
    },
    made: createMetrics({ version: "0.1.0", now: () => ms, openFiles: () => 17 }),
  };
}

/** Value of one series; null when it is not on the page. */
async function read(
  metrics: Awaited<ReturnType<typeof createMetrics>>,
  series: string,
): Promise<number | null> {
  const { body } = await metrics.text();
  const line = body.split("\n").find((known) => known.startsWith(`${series} `));
  return line === undefined ? null : Number(line.slice(series.length + 1));
}

describe("the page", () => {
  test("is in Prometheus' text format", async () => {
    const metrics = await open().made;
    const { type, body } = await metrics.text();
    expect(type).toContain("text/plain; version=0.0.4");
    expect(body).toContain("# TYPE minicni_agent_repairs_total counter\n");
    for (const line of body.split("\n")) expect(line).toMatch(/^(#.*|[a-z_]+(\{.*\})? [-+0-9.eInfNa]+)?$/);
  });

  test("has what was set", async () => {
    const { made, pass } = open();
    const metrics = await made;
    metrics.nodes(5000, { no_pod_cidr: 2 });
    metrics.peers({ direct: 3, tunnel: 4, none: 1 });
    metrics.routes(6, 7, 6);
    metrics.conflicts(2);
    metrics.repair("route", "kernel", "ip route …", 3);
    metrics.repair("route", "kernel", "ip route …");
    metrics.stepFailed("route.replace");
    metrics.rulesVariant(4, "legacy");
    metrics.apiEvent("irrelevant");
    metrics.leaksRemoved(2);
    metrics.ready("routes", true);
    metrics.duration("diff", 0.02);
    metrics.watch(true);
    pass(34_000);
    const expected: [string, number][] = [
      ["nodes", 5000],
      ['nodes_faulty{reason="no_pod_cidr"}', 2],
      ['peers{path="tunnel"}', 4],
      ['routes_desired{family="6"}', 7],
      ['routes_programmed{family="6"}', 6],
      ["route_conflicts", 2],
      ['repairs_total{object="route",cause="kernel"}', 4],
      ['repairs_total{object="fdb",cause="start"}', 0],
      ['step_failures_total{op="route.replace"}', 1],
      ['rules_variant{family="4",variant="legacy"}', 1],
      ['rules_variant{family="4",variant="nft"}', 0],
      ['api_events_total{kind="irrelevant"}', 1],
      ["leaked_attachments_removed_total", 2],
      ['ready{condition="routes"}', 1],
      ['ready{condition="rules"}', 0],
      ['resync_duration_seconds_count{part="diff"}', 1],
      ['resync_duration_seconds_sum{part="diff"}', 0.02],
      ["api_watch_age_seconds", 34],
      [`build_info{version="0.1.0",bun="${Bun.version}"}`, 1],
    ];
    for (const [series, value] of expected) {
      expect([series, await read(metrics, `minicni_agent_${series}`)]).toEqual([series, value]);
    }
  });

  test("forgets what is no more", async () => {
    const metrics = await open().made;
    metrics.nodes(2, { duplicate: 1 });
    metrics.nodes(2, {});
    metrics.addresses([{ network: "a", range: "10.0.0.0/24", used: 3, free: 250 }]);
    metrics.addresses([{ network: "b", range: "fd00::/64", used: 1, free: 2 ** 64 }]);
    metrics.offload("minicni.vxlan", true);
    metrics.offload("minicni.vxlan", null);
    metrics.watch(true);
    metrics.watch(false);
    const { body } = await metrics.text();
    expect(body).not.toContain("duplicate");
    expect(body).not.toContain("10.0.0.0/24");
    expect(body).not.toContain('device="minicni.vxlan"');
    expect(await read(metrics, 'minicni_agent_addresses_free{network="b",range="fd00::/64"}')).toBe(2 ** 64);
    expect(await read(metrics, "minicni_agent_api_watch_age_seconds")).toBe(0);
  });

  test("tells the last sync by the wall clock, and never one that was not", async () => {
    const metrics = await open().made;
    expect(await read(metrics, "minicni_agent_last_sync_timestamp_seconds")).toBe(0);
    metrics.synced();
    const told = await read(metrics, "minicni_agent_last_sync_timestamp_seconds");
    expect(Math.abs(Number(told) - Date.now() / 1000)).toBeLessThan(60);
  });

  test("has figures of the process that can be true", async () => {
    const metrics = await open().made;
    expect(await read(metrics, "process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
    expect(await read(metrics, "process_resident_memory_bytes")).toBeLessThan(10_000_000_000);
    expect(await read(metrics, "process_open_fds")).toBe(17);
    const first = Number(await read(metrics, "process_cpu_seconds_total"));
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThanOrEqual(process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6);
    expect(await read(metrics, "process_cpu_seconds_total")).toBeGreaterThanOrEqual(first);
  });
});

/** Name, type and labels of each metric, sorted. */
async function registered(): Promise<string[]> {
  const { registry } = await open().made;
  const metrics = registry.getMetricsAsArray();
  return metrics
    .map((metric) => {
      const labels = "labelNames" in metric && Array.isArray(metric.labelNames) ? metric.labelNames : [];
      // An enum in the library's types, a word at run time.
      return [metric.name, String(metric.type), labels.join(", ")].join(" | ");
    })
    .sort();
}

test("docs/metrics.md has every metric with its type and labels, and no other", async () => {
  const text = await Bun.file(DOCUMENT).text();
  const rows = [...text.matchAll(/^\| `([a-z_]+)` \| (\w+) \|([^|]*)\| [^|]+ \|$/gm)];
  const documented = rows.map(([, name, type, labels]) => {
    return [name, type, (labels ?? "").replaceAll("`", "").trim()].join(" | ");
  });
  expect(documented.sort()).toEqual(await registered());
});
