import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { AgentNode, destroyNodes, N1, v4, waitFor } from "./agent.ts";
import {
  hasSandbox,
  makeNeighbours,
  probe,
  probeArgv,
  probeConfig,
  probeUnderWay,
  startProbe,
  traces,
} from "./probe-nodes.ts";
import { run } from "./sandbox.ts";
import { makePrograms } from "./served-path.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

interface RowView {
  readonly step: string;
  readonly what: string;
}
interface VerbView {
  readonly verb: string;
  readonly rows: readonly RowView[];
  readonly fault: string | null;
}

/** A node with addresses of its own, without an agent. */
const RANGES = { ipam: { ranges: [[{ subnet: "10.7.0.0/24" }], [{ subnet: "fd00:7::/64" }]] } };

function lonely(overrides: Readonly<Record<string, unknown>> = {}) {
  const node = new AgentNode([4, 6]);
  const ipam = { ...RANGES.ipam, dataDir: node.box.dataDir };
  const config = probeConfig(node, { ipam, isDefaultGateway: true, ...overrides });
  return { node, config };
}

const runsOf = (stdout: string): VerbView[][] => JSON.parse(stdout).runs;
const stepsOf = (verb: VerbView | undefined) => new Set(verb?.rows.map(({ step }) => step));

describe("a trace on a node", () => {
  test("tells each step of ADD, CHECK and DEL, and leaves nothing", () => {
    const { node, config } = lonely({ ipMasq: true });
    const before = traces(node);
    const { exitCode, stdout, stderr } = probe(node, "trace", "--config", config, "--json");
    expect([exitCode, stderr]).toEqual([0, ""]);
    const [add, check, del] = runsOf(stdout)[0] ?? [];
    expect([add?.verb, check?.verb, del?.verb]).toEqual(["ADD", "CHECK", "DEL"]);
    expect([...stepsOf(add)]).toEqual(
      expect.arrayContaining([
        "configuration read",
        "lock",
        "allocation",
        "record written",
        "bridge",
        "masquerade rules",
        "links, addresses, routes",
        "bridge port opens",
        "result",
      ]),
    );
    expect(add?.rows.map(({ what }) => what).find((what) => what.startsWith("iptables"))).toBeDefined();
    expect(check?.rows.map(({ what }) => what)).toContain("ip -j addr show dev eth0 (in the sandbox)");
    expect([...stepsOf(del)]).toEqual(
      expect.arrayContaining(["links removed", "address given back", "record removed", "masquerade rules"]),
    );
    const after = traces(node);
    expect({ ...after, kernel: "" }).toEqual({ ...before, kernel: "" });
    // Forwarding stays on, as behind any pod.
    expect(node.hasLink("minicni0")).toBe(false);
    expect(node.box.hostVeths()).toEqual([]);
  });

  test("beside an agent and a pod: bridge, pod and rules stay as they are", async () => {
    const { here } = makeNeighbours(4, 6);
    const agent = await here.up();
    const config = probeConfig(here);
    here.box.add(here.box.pod(), JSON.parse(await Bun.file(config).text()));
    writeFileSync(`${here.confDir}/05-test.conf`, await Bun.file(config).text());
    const before = traces(here);
    const { exitCode, stdout } = probe(here, "trace");
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`network    minicni (CNI 1.1.0) of ${here.confDir}/05-test.conf`);
    expect(stdout).toMatch(/\nADD {2}[0-9.]+ ms\nstep +start +ms +share +what\n/);
    expect(stdout).toMatch(/all went well, all of it is taken back\n$/);
    await agent.stop();
    expect(traces(here)).toEqual(before);
  });

  test("step by step, and many times", () => {
    const { node, config } = lonely();
    const { stdout } = probe(node, "trace", "--config", config, "--json", "--each", "--count", "3");
    const runs = runsOf(stdout);
    expect(runs.length).toBe(3);
    for (const [add] of runs) {
      expect([...stepsOf(add)]).toEqual(expect.arrayContaining(["links", "addresses", "routes", "sysctls"]));
      expect(
        add?.rows.map(({ what }) => what).find((what) => / addr replace 10\.7\.0\./.test(what)),
      ).toBeDefined();
    }
    const text = probe(node, "trace", "--config", config, "--each", "--count", "3").stdout;
    expect(text).toMatch(/\nstep +calls +min +median +max +share\n/);
    expect(text).toContain("run step by step: their sum is larger");
    expect(node.box.reservations("minicni")).toEqual([]);
  });

  test("a verb that fails: its error, exit 1, nothing left", () => {
    const { node, config } = lonely({ ipam: { ranges: [[{ subnet: "10.7.0.0/31" }]] } });
    const { exitCode, stdout } = probe(node, "trace", "--config", config);
    expect(exitCode).toBe(1);
    expect(stdout).toContain("ADD  ");
    expect(stdout).toMatch(/ {2}code [0-9]+: /);
    expect(node.box.records("minicni")).toEqual([]);
    expect(hasSandbox(/^container +(\S+)$/m.exec(stdout)?.[1] ?? "")).toBe(false);
  });

  test("no configuration of ours: what a runtime takes instead, exit 2", () => {
    const node = new AgentNode([4]);
    const none = probe(node, "trace");
    expect([none.exitCode, none.stderr]).toEqual([
      2,
      expect.stringContaining(`${node.confDir} has no configuration: runtimes make no pods\nwhat to do: `),
    ]);
    writeFileSync(`${node.confDir}/10-other.conflist`, '{"name": "other", "plugins": [{"type": "bridge"}]}');
    expect(probe(node, "trace").stderr).toContain(
      `${node.confDir}/10-other.conflist does not call minicni: its plugins are bridge, and a runtime takes this file`,
    );
  });

  test.each(["SIGINT", "SIGTERM"] as const)("%s in the middle: all is taken back", async (signal) => {
    const { node, config } = lonely();
    const started = startProbe(node, "trace", "--config", config, "--count", "1000");
    let id = "";
    await waitFor("a pod is there", () => {
      id = probeUnderWay(node);
      return id !== "";
    });
    started.kill(signal);
    const { exitCode, stderr } = await started.done;
    expect([exitCode, stderr]).toEqual([
      signal === "SIGINT" ? 130 : 143,
      expect.stringContaining(`${signal} came`),
    ]);
    expect([node.box.hostVeths(), node.box.reservations("minicni"), node.box.records("minicni")]).toEqual([
      [],
      [],
      [],
    ]);
    expect(hasSandbox(id)).toBe(false);
  });

  test("also as a runtime calls it, by launcher and agent", () => {
    const { node, config } = lonely();
    const { folder } = makePrograms();
    const asked = (socket: string) => {
      const argv = probeArgv(node, "trace", "--config", config, "--served", "--json", "--bin-dir", folder);
      return JSON.parse(run(["env", `MINICNI_SOCKET=${socket}`, ...argv]).stdout);
    };
    expect(asked(`${node.box.dir}/none`).notServed).toContain("no agent serves calls on this node");
    const socket = `${node.stateDir}/cni.sock`;
    const agent = Bun.spawn([
      "nsenter",
      `--net=${node.netns}`,
      `${folder}/minicni-standalone`,
      "calls",
      node.stateDir,
    ]);
    try {
      for (let tries = 0; run(["test", "-S", socket]).exitCode !== 0 && tries < 500; tries++)
        Bun.sleepSync(10);
      const { served, notServed } = asked(socket);
      expect(notServed).toBeNull();
      expect(served.verbs.map(({ verb, fault }: VerbView) => [verb, fault])).toEqual([
        ["ADD", null],
        ["CHECK", null],
        ["DEL", null],
      ]);
      expect(node.box.records("minicni")).toEqual([]);
    } finally {
      agent.kill("SIGKILL");
      run(["rm", "-r", folder]);
    }
  });
});

describe("a simulated trace", () => {
  test("touches nothing of the node, and uses what its agent published", () => {
    const node = new AgentNode([4]);
    mkdirSync(node.stateDir, { recursive: true });
    writeFileSync(node.nodeJson, JSON.stringify({ podCidrs: v4(N1).podCidrs, mtu: 1400, ready: true }));
    const config = probeConfig(node);
    const before = traces(node);
    const { exitCode, stdout, stderr } = probe(node, "trace", "--simulate", "--config", config, "--json");
    expect([exitCode, stderr]).toEqual([0, ""]);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ isSimulated: true, config, network: "minicni" });
    expect(runsOf(stdout)[0]?.map(({ verb, fault }) => [verb, fault])).toEqual([
      ["ADD", null],
      ["CHECK", null],
      ["DEL", null],
    ]);
    expect(traces(node)).toEqual(before);
    expect(hasSandbox(report.containerId)).toBe(false);
  });

  test("where nothing is there", () => {
    const { exitCode, stdout } = probe(new AgentNode([4]), "trace", "--simulate");
    expect(exitCode).toBe(0);
    expect(stdout).toContain("simulated: a namespace of its own, this node is not touched");
    expect(stdout).toContain("of the defaults");
  });

  test("without root: says so, exit 2", () => {
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const [first = "", second = "", ...rest] = probeArgv(new AgentNode([4]), "trace", "--simulate");
    const { exitCode, stderr } = run([first, second, ...nobody, ...rest]);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("needs root")]);
  });
});
