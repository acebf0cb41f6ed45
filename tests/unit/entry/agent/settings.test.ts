import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type AgentSettings, parseSettings } from "../../../../src/entry/agent/settings.ts";
import { createFakeMachine } from "../../../twin/machine.ts";
import { prefix } from "../../../twin/words.ts";

const VARIABLES = /^(NODE_NAME|KUBECONFIG|MINICNI_.*)$/;
let kept: Record<string, string | undefined> = {};
beforeEach(() => {
  kept = { ...process.env };
  for (const name of Object.keys(process.env)) if (VARIABLES.test(name)) delete process.env[name];
});
afterEach(() => {
  for (const name of Object.keys(process.env)) if (VARIABLES.test(name)) delete process.env[name];
  for (const [name, value] of Object.entries(kept)) if (VARIABLES.test(name)) process.env[name] = value;
});

async function parse(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  Object.assign(process.env, env);
  const host = createFakeMachine("/nowhere");
  const printed: string[] = [];
  const settings = await parseSettings(args, host, (text) => printed.push(text));
  return { settings, logged: host.logged, printed };
}

const NODE = ["--node", "n1"];
const DEFAULTS: AgentSettings = {
  node: "n1",
  nodesFile: null,
  kubeconfig: null,
  backend: "auto",
  vni: 157,
  vxlanPort: 8472,
  clusterCidrs: [],
  nonMasqueradeCidrs: [],
  masquerade: true,
  masqueradeNodes: false,
  mtu: 0,
  stateDir: "/run/minicni",
  dataDir: "/var/lib/minicni",
  confDir: "/etc/cni/net.d",
  listen: "127.0.0.1:9157",
  page: "",
  resyncPeriodMs: 5_000,
  leakGraceMs: 60_000,
  nodeCondition: false,
  executor: "auto",
  logFormat: "text",
  once: false,
  dryRun: false,
};

test("has a default for all but the name of the Node", async () => {
  expect((await parse(NODE)).settings).toEqual(DEFAULTS);
  const { settings, logged } = await parse([]);
  expect(settings).toBe(2);
  expect(logged.join()).toContain("--node");
});

const BY_ALL_WAYS: readonly (readonly [string, string, string, Partial<AgentSettings>])[] = [
  ["--nodes", "MINICNI_NODES", "/etc/nodes.json", { nodesFile: "/etc/nodes.json" }],
  ["--kubeconfig", "KUBECONFIG", "/root/.kube/config", { kubeconfig: "/root/.kube/config" }],
  ["--backend", "MINICNI_BACKEND", "host-gw", { backend: "host-gw" }],
  ["--vni", "MINICNI_VNI", "16777215", { vni: 16777215 }],
  ["--vxlan-port", "MINICNI_VXLAN_PORT", "4789", { vxlanPort: 4789 }],
  [
    "--cluster-cidrs",
    "MINICNI_CLUSTER_CIDRS",
    "10.244.0.0/16, fd44::/48",
    { clusterCidrs: [prefix("10.244.0.0/16"), prefix("fd44::/48")] },
  ],
  [
    "--non-masquerade-cidrs",
    "MINICNI_NON_MASQUERADE_CIDRS",
    "192.168.0.0/16",
    { nonMasqueradeCidrs: [prefix("192.168.0.0/16")] },
  ],
  [
    "--non-masquerade-cidrs",
    "MINICNI_NON_MASQUERADE_CIDRS",
    "::/0",
    { nonMasqueradeCidrs: [prefix("::/0")] },
  ],
  ["--masquerade", "MINICNI_MASQUERADE", "false", { masquerade: false }],
  ["--masquerade-nodes", "MINICNI_MASQUERADE_NODES", "yes", { masqueradeNodes: true }],
  ["--mtu", "MINICNI_MTU", "1400", { mtu: 1400 }],
  ["--mtu", "MINICNI_MTU", "68", { mtu: 68 }],
  ["--mtu", "MINICNI_MTU", "65535", { mtu: 65535 }],
  ["--state-dir", "MINICNI_STATE_DIR", "/run/other/", { stateDir: "/run/other" }],
  ["--data-dir", "MINICNI_DATA_DIR", "/data", { dataDir: "/data" }],
  ["--conf-dir", "MINICNI_CONF_DIR", "/conf", { confDir: "/conf" }],
  ["--conf-dir", "MINICNI_CONF_DIR", "", { confDir: "" }],
  ["--listen", "MINICNI_LISTEN", "[::1]:1234", { listen: "[::1]:1234" }],
  ["--page", "MINICNI_PAGE", "127.0.0.1:9159", { page: "127.0.0.1:9159" }],
  ["--resync-period", "MINICNI_RESYNC_PERIOD", "30", { resyncPeriodMs: 30_000 }],
  ["--leak-grace", "MINICNI_LEAK_GRACE", "0", { leakGraceMs: 0 }],
  ["--node-condition", "MINICNI_NODE_CONDITION", "1", { nodeCondition: true }],
  ["--executor", "MINICNI_EXECUTOR", "iproute2", { executor: "iproute2" }],
  ["--log-format", "MINICNI_LOG_FORMAT", "json", { logFormat: "json" }],
];

describe("is taken from a flag, and from the environment", () => {
  test.each(BY_ALL_WAYS)("%s or %s: %s", async (flag, variable, text, wanted) => {
    expect((await parse([...NODE, flag, text])).settings).toEqual({ ...DEFAULTS, ...wanted });
    expect((await parse(NODE, { [variable]: text })).settings).toEqual({ ...DEFAULTS, ...wanted });
  });

  test("--node or NODE_NAME; the flag wins", async () => {
    expect((await parse([], { NODE_NAME: "n1" })).settings).toEqual(DEFAULTS);
    expect((await parse(NODE, { NODE_NAME: "n2" })).settings).toEqual(DEFAULTS);
  });
});

describe("ends with 2 and says why for", () => {
  test.each([
    ["--backend", "calico"],
    ["--vni", "0"],
    ["--vni", "16777216"],
    ["--vni", "0x9d"],
    ["--vxlan-port", "65536"],
    ["--cluster-cidrs", "10.244.0.1/16"],
    ["--cluster-cidrs", "10.244.0.0"],
    ["--cluster-cidrs", "0.0.0.0/0"],
    ["--cluster-cidrs", "10.244.0.0/16,::/0"],
    ["--non-masquerade-cidrs", "everything"],
    ["--masquerade", "perhaps"],
    ["--mtu", "-1"],
    ["--mtu", "1e3"],
    ["--mtu", "67"],
    ["--mtu", "65536"],
    ["--state-dir", "run"],
    ["--state-dir", "/"],
    ["--data-dir", ""],
    ["--conf-dir", "./net.d"],
    ["--resync-period", "0"],
    ["--resync-period", "0.5"],
    ["--leak-grace", "soon"],
    ["--node-condition", "maybe"],
    ["--log-format", "xml"],
  ])("%s %s", async (flag, text) => {
    const { settings, logged } = await parse([...NODE, flag, text]);
    expect(settings).toBe(2);
    expect(logged.join()).toContain(flag);
  });

  test.each([
    [["--speed", "9"], "--speed"],
    [["--dry-run"], "--once"],
    [["stray"], "argument"],
  ] as const)("%p", async (args, told) => {
    const { settings, logged } = await parse([...NODE, ...args]);
    expect(settings).toBe(2);
    expect(logged.join()).toContain(told);
  });

  test("cluster CIDRs that are everything, with what to do", async () => {
    const { logged } = await parse([...NODE, "--cluster-cidrs", "0.0.0.0/0"]);
    expect(logged.join()).toContain("0.0.0.0/0 is everything: ");
    expect(logged.join()).toContain("to masquerade nothing, --masquerade false");
  });

  test("a bad value in the environment, by the variable's name", async () => {
    const { settings, logged } = await parse(NODE, { MINICNI_VNI: "many" });
    expect(settings).toBe(2);
    expect(logged.join()).toContain("MINICNI_VNI");
  });
});

test("help is printed, and is no failure", async () => {
  const { settings, printed, logged } = await parse(["--help"]);
  expect(settings).toBe(0);
  for (const [flag, variable] of BY_ALL_WAYS) {
    expect(printed.join()).toContain(flag);
    expect(printed.join()).toContain(variable);
  }
  expect(logged).toEqual([]);
});
