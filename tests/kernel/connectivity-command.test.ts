import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { ConnectivityReport } from "../../src/entry/admin/connectivity/report.ts";
import { inNetns } from "../../src/host/netns.ts";
import { destroyNodes, waitFor } from "./agent.ts";
import { linesOf, makeCluster } from "./connectivity.ts";
import { loadRules } from "./doctor-network.ts";
import { hasSandbox, makeNeighbours, probe, probeUnderWay, startProbe, traces } from "./probe-nodes.ts";

setDefaultTimeout(90_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

test("pods of a peer whose agent names them are asked as well", async () => {
  const { here, there, addresses, config } = await makeCluster([4, 6], "--backend", "vxlan");
  const report = { ...JSON.parse(readFileSync(`${there.stateDir}/agent.json`, "utf8")), pods: addresses };
  const server = inNetns(there.netns, () =>
    Bun.listen({
      hostname: "10.9.0.2",
      port: 9158,
      socket: {
        data: (socket) => {
          socket.end(`HTTP/1.0 200 OK\r\n\r\n${JSON.stringify(report)}`);
        },
      },
    }),
  );
  try {
    const started = startProbe(here, "connectivity", "--config", config, "--port", "9158", "--json");
    const { probes, notAsked, notes }: ConnectivityReport = JSON.parse((await started.done).stdout);
    expect([notAsked, notes]).toEqual([null, []]);
    expect(linesOf(probes, "n2").slice(-2)).toEqual(["pod pod 4 ok", "pod pod 6 ok"]);
  } finally {
    server.stop();
  }
});

test("SIGINT in the middle: all is taken back", async () => {
  const { here, there, config } = await makeCluster([4], "--backend", "vxlan");
  here.box.add(here.box.pod(), JSON.parse(readFileSync(config, "utf8")));
  loadRules(there, "type filter hook input priority -200;", "udp dport 8472 drop");
  const before = traces(here);
  const started = startProbe(here, "connectivity", "--config", config);
  let id = "";
  await waitFor("a pod is there", () => {
    id = probeUnderWay(here);
    return id !== "";
  });
  started.kill("SIGINT");
  const { exitCode, stderr } = await started.done;
  expect([exitCode, stderr]).toEqual([130, expect.stringContaining("SIGINT came: ended, and taken back")]);
  expect(traces(here)).toEqual(before);
  expect(hasSandbox(id)).toBe(false);
});

test("an unknown peer is misuse: exit 2", () => {
  const { here } = makeNeighbours(4);
  const { exitCode, stderr } = probe(
    here,
    "connectivity",
    "--nodes",
    here.nodesFile,
    "--node",
    "n1",
    "--peer",
    "n9",
  );
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining("n9: no peer of that name")]);
});
