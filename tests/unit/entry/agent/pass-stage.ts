import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createHealth } from "../../../../src/entry/agent/health.ts";
import type { Known } from "../../../../src/entry/agent/known.ts";
import { createMetrics } from "../../../../src/entry/agent/metrics.ts";
import type { Network } from "../../../../src/entry/agent/network.ts";
import { createNetwork } from "../../../../src/entry/agent/network.ts";
import { createPass } from "../../../../src/entry/agent/pass.ts";
import { createPublisher } from "../../../../src/entry/agent/publish.ts";
import { parseSettings } from "../../../../src/entry/agent/settings.ts";
import type { Reason } from "../../../../src/entry/agent/wakeups.ts";
import { HostError } from "../../../../src/host/errors.ts";
import type { ClusterNode } from "../../../../src/net/node.ts";
import type { NodeRulesWish } from "../../../../src/topology/node-rules.ts";
import { createFakeMachine } from "../../../twin/machine.ts";
import { address, prefix } from "../../../twin/words.ts";

export const node = (number: number): ClusterNode => ({
  name: `n${number}`,
  podCidrs: [prefix(`10.244.${number}.0/24`)],
  addresses: [address(`10.9.0.${number}`)],
});
export const LIVE: Known = { snapshot: { nodes: [node(1), node(2)], faults: [] }, isLive: true, fault: null };

let root = "";

/** For beforeEach and afterEach: the folder of one stage. */
export function openRoot(): void {
  root = mkdtempSync(`${tmpdir()}/minicni-test-`);
}
export const closeRoot = () => rmSync(root, { recursive: true, force: true });
/** What a pass publishes. */
export const pathOf = (name: "run/node.json" | "net.d/10-minicni.conflist") => `${root}/${name}`;

/** A pass of node n1 with its publisher on disk; what it works with is made up. */
export async function stage(...args: string[]) {
  const host = createFakeMachine(root);
  const eth0 = host.network.addLink({ name: "eth0", up: true });
  host.network.addresses.set(eth0, [{ prefix: prefix("10.9.0.1/24"), linkLocal: false }]);
  host.network.lookup = () => ({ gateway: null, ifindex: eth0, isLocal: false });
  const folders = ["--state-dir", `${root}/run`, "--data-dir", `${root}/lib`, "--conf-dir", `${root}/net.d`];
  const settings = await parseSettings(["--node", "n1", ...folders, ...args], host, () => undefined);
  if (typeof settings === "number") throw new Error(host.logged.join());
  const health = createHealth(() => 0);
  const metrics = await createMetrics({ version: "1", now: () => 0, openFiles: () => 0 });
  const told = new Map<string, string | null>();
  const journal = {
    info: () => undefined,
    warn: () => undefined,
    state: (key: string, fault: string | null) => void told.set(key, fault),
  };
  const inner = createNetwork(
    { backend: "auto", dryRun: false, tunnel: { vni: 157, port: 8472 } },
    host,
    () => 0,
  );
  const world = {
    rulesFault: null as string | null,
    bridgeFault: null as string | null,
    isBroken: false,
    rulesPasses: 0,
    withheld: 0,
    nowMs: 0,
    clusterCidrs: 0,
  };
  const network: Network = {
    ...inner,
    resync: async (wish) => {
      if (world.isBroken) throw new HostError("no netlink", "see dmesg");
      return { ...(await inner.resync(wish)), withheld: world.withheld };
    },
  };
  const rules = {
    resync: async ({ clusterCidrs }: NodeRulesWish) => {
      world.rulesPasses++;
      world.clusterCidrs = clusterCidrs.length;
      const faults = world.rulesFault === null ? [] : [world.rulesFault];
      return { changes: [], faults, warnings: [], variant: "nft" as const, plan: [] };
    },
  };
  const bridge = {
    pass: async () => {
      if (world.bridgeFault !== null) throw new HostError(world.bridgeFault, "");
      return { changes: [], faults: [] };
    },
  };
  const publisher = createPublisher(host, settings, () => 0);
  const pass = createPass(settings, {
    host,
    network,
    rules,
    bridge,
    offload: null,
    publisher,
    journal,
    health,
    metrics,
    now: () => world.nowMs,
  });
  const run = (known: Known = LIVE, ...reasons: Reason[]) => pass.run(known, new Set(reasons));
  const unready = () => health.conditions().flatMap(([name, holds]) => (holds ? [] : [name]));
  return { host, world, run, unready, told };
}

export const nodeJson = () => JSON.parse(readFileSync(pathOf("run/node.json"), "utf8"));
export const hasConflist = () => existsSync(pathOf("net.d/10-minicni.conflist"));
