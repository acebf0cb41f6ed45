import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { repairPorts } from "../../src/entry/host-ports/index.ts";
import {
  askTcp,
  KINDS,
  type Kind,
  mappings,
  NO_PORTS,
  NODE,
  PortNode,
  runsOf,
  serveTcp,
} from "./host-ports-node.ts";
import { hostIn } from "./rules-node.ts";
import { BRIDGE, destroySandboxes } from "./sandbox.ts";
import { errorOf, resultOf } from "./views.ts";

setDefaultTimeout(60_000);
const servers: { close(): void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  destroySandboxes();
});
afterAll(destroySandboxes);

describe("what host ports cost", () => {
  test("pods without ports run no program, whatever ports others have", async () => {
    const node = new PortNode();
    const pod = node.box.pod();
    expect(await runsOf(node, "ADD", pod, node.conf([]))).toEqual([]);
    expect(await runsOf(node, "DEL", pod, node.conf([]))).toEqual([]);
    node.add(["tcp 8080 80"]);
    expect(await runsOf(node, "ADD", pod, node.conf([]))).toEqual([]);
    expect(await runsOf(node, "DEL", pod, node.conf([]))).toEqual([]);
  });

  test("a hundred ports are one restore of each family, and so is their end", async () => {
    const node = new PortNode();
    node.add(["tcp 9999 99"]);
    const ports = Array.from({ length: 100 }, (_, index) => `tcp ${20_000 + index} 80`);
    const pod = node.box.pod();
    const restores = ["ip6tables-nft-restore", "iptables-nft-restore"];
    for (const command of ["ADD", "DEL"]) {
      const runs = await runsOf(node, command, pod, node.conf(ports));
      // What is there is known from our own last change: nothing is looked at.
      expect(runs.map((run) => run.split(" ")[0]).sort()).toEqual(restores);
    }
  });

  test("a hundred ports are one transaction of nft", async () => {
    const node = new PortNode("nftables");
    node.add(["tcp 9999 99"]);
    const ports = Array.from({ length: 100 }, (_, index) => `tcp ${20_000 + index} 80`);
    const pod = node.box.pod();
    for (const command of ["ADD", "DEL"])
      expect(await runsOf(node, command, pod, node.conf(ports))).toEqual(["nft -f -"]);
  });
});

const NFT = ["nft", "flush"] as const;
const TABLE = ["inet", "minicni_hostports"] as const;
const IPTABLES: readonly (readonly [string, readonly string[][]])[] = [
  ["the nat table was flushed", [["iptables", "-t", "nat", "-F"]]],
  ["the nat table of IPv6 was flushed", [["ip6tables", "-t", "nat", "-F"]]],
  [
    "the nat table was flushed, its chains deleted",
    [
      ["iptables", "-t", "nat", "-F"],
      ["iptables", "-t", "nat", "-X"],
    ],
  ],
  ["a jump was deleted", [["iptables", "-t", "nat", "-F", "OUTPUT"]]],
  ["the masquerade was deleted", [["iptables", "-t", "nat", "-F", "POSTROUTING"]]],
  ["the dispatching chain was flushed", [["iptables", "-t", "nat", "-F", "MINICNI-HOSTPORTS"]]],
  ["the raw table was flushed", [["iptables", "-t", "raw", "-F"]]],
];
const DAMAGES: Readonly<Record<Kind, readonly (readonly [string, readonly string[][]])[]>> = {
  "iptables-nft": IPTABLES,
  "iptables-legacy": IPTABLES,
  nftables: [
    ["the table was deleted", [["nft", "delete", "table", ...TABLE]]],
    ["the table was flushed", [[...NFT, "table", ...TABLE]]],
    ["a chain was flushed", [[...NFT, "chain", ...TABLE, "output"]]],
    ["all rules of the machine were flushed", [[...NFT, "ruleset"]]],
  ],
};

for (const kind of KINDS) {
  describe(`rules by ${kind}`, () => {
    const local = { hostPortLocalhost: true };
    const damaged = () => {
      const node = new PortNode(kind);
      const pod = node.box.pod();
      const conf = node.conf(["tcp 8080 80"], local);
      const prevResult = node.box.add(pod, conf, node.env);
      const check = () => node.box.call("CHECK", pod, { ...conf, prevResult }, node.env);
      const damage = (commands: readonly string[][]) => {
        for (const [tool = "", ...words] of commands)
          node.box.node(
            tool.replace(/tables$/, kind === "nftables" ? "tables" : `tables${kind.slice(8)}`),
            ...words,
          );
      };
      return { node, pod, check, damage };
    };

    for (const [what, commands] of DAMAGES[kind]) {
      test(`${what}: CHECK fails, the next ADD puts all back, the last DEL leaves nothing`, async () => {
        const { node, pod, check, damage } = damaged();
        const before = node.rules();
        expect(check().stdout).toBe("");
        damage(commands);
        expect(errorOf(check()).details).toMatch(/rules of host ports are not as they were made: /);
        const next = node.add(["tcp 8081 80"], local);
        expect(node.rules()).toEqual(
          expect.arrayContaining(before.filter((line) => !/elements|8080/.test(line))),
        );
        expect(check().stdout).toBe("");
        servers.push(serveTcp(pod.netns, 80, "pod"));
        for (const address of NODE) expect(await askTcp(node.world.netns, address, 8080)).toStartWith("pod");
        expect(await askTcp(node.box.netns, "127.0.0.1", 8080)).toStartWith("pod");
        for (const one of [pod, next]) node.del(one);
        expect(node.traces()).toEqual(NO_PORTS);
      });

      test(`${what}: a DEL finds all that is left of ours`, () => {
        const { node, pod, damage } = damaged();
        damage(commands);
        node.del(pod);
        expect(node.traces()).toEqual(NO_PORTS);
      });
    }

    test("what a program before us translates is its own, as kube-proxy's NodePorts are", async () => {
      const node = new PortNode(kind);
      const tool = kind === "nftables" ? "iptables-nft" : kind;
      const [theirs, ours] = [node.add([]), node.box.pod()];
      servers.push(serveTcp(theirs.netns, 80, "theirs"));
      const nodePort = ["-p", "tcp", "--dport", "8080", "-j", "DNAT", "--to-destination", "10.7.0.2:80"];
      node.box.node(tool, "-t", "nat", "-A", "PREROUTING", ...nodePort);
      node.box.add(ours, node.conf(["tcp 8080 80", "tcp 8081 80"]), node.env);
      servers.push(serveTcp(ours.netns, 80, "ours"));
      expect(await askTcp(node.world.netns, NODE[0], 8080)).toStartWith("theirs");
      expect(await askTcp(node.world.netns, NODE[0], 8081)).toStartWith("ours");
    });

    test("rules of others stay as they are", () => {
      const node = new PortNode(kind);
      const tool = kind === "nftables" ? "iptables-nft" : kind;
      const saved = () => node.box.node(`${tool}-save`, "-t", "nat").replace(/^[:#].*\n/gm, "");
      for (const base of ["PREROUTING", "OUTPUT", "POSTROUTING"])
        node.box.node(tool, "-t", "nat", "-A", base, "-d", "203.0.113.0/24", "-j", "RETURN");
      const before = saved();
      const pod = node.add(["tcp 8080 80"], local);
      node.del(pod);
      expect(saved()).toBe(before);
    });
  });
}

test("who looks after a node puts back rules, claims and the way to 127.0.0.1, and then has nothing to do", async () => {
  const node = new PortNode();
  const host = hostIn(node.box.netns);
  const repair = async () => (await repairPorts(node.box.stateDir, host)).changed;
  expect(await repair()).toEqual([]);
  const pod = node.add(["tcp 8080 80"], { hostPortLocalhost: true });
  expect(await repair()).toEqual([]);
  const before = node.rules();
  node.box.node("iptables", "-t", "nat", "-F");
  node.box.node("sysctl", "-qw", `net.ipv4.conf.${BRIDGE}.route_localnet=0`);
  rmSync(`${node.box.stateDir}/hostports/claims.json`);
  expect(await repair()).toEqual(
    expect.arrayContaining(["MINICNI-HOSTPORTS", "OUTPUT", `route_localnet of ${BRIDGE}`]),
  );
  expect(node.rules()).toEqual(before);
  expect(await repair()).toEqual([]);
  node.del(pod);
  expect(await repair()).toEqual([]);
});

describe("which backend", () => {
  const pathOf = (node: PortNode, ...programs: string[]) => {
    const folder = `${node.box.dir}/few`;
    mkdirSync(folder);
    for (const program of programs) symlinkSync(Bun.which(program) ?? "", `${folder}/${program}`);
    return { PATH: folder };
  };

  test("nft, where there is no iptables", async () => {
    const node = new PortNode();
    const env = pathOf(node, "nft");
    const pod = node.box.pod();
    node.box.add(pod, node.conf(["tcp 8080 80"]), env);
    expect(node.table()).toContain("tcp . 8080 : 10.7.0.2 . 80");
    servers.push(serveTcp(pod.netns, 80, "pod"));
    expect(await askTcp(node.world.netns, NODE[0], 8080)).toStartWith("pod saw ");
    // By its record, not by what would be chosen now.
    node.del(pod);
    expect(node.traces()).toEqual(NO_PORTS);
  });

  test.each([
    ["neither iptables nor nft", [], {}, /neither iptables-restore nor nft is on the PATH/],
    ["no iptables, where it is configured", ["nft"], { backend: "iptables" }, /no iptables-restore is on/],
    ["no nft, where it is configured", ["iptables"], { backend: "nftables" }, /no nft is on the PATH/],
  ] as const)("%s: code 11, nothing is made; pods without ports don't care", (_, programs, more, message) => {
    const node = new PortNode();
    const env = pathOf(node, ...programs);
    const pod = node.box.pod();
    const error = errorOf(node.box.call("ADD", pod, node.conf(["tcp 8080 80"], more), env));
    expect(error).toMatchObject({ code: 11, msg: expect.stringMatching(message) });
    expect(node.traces()).toEqual(NO_PORTS);
    resultOf(node.box.call("ADD", pod, node.conf([], more), env));
  });

  test("pods of either backend are on one node, and no two have one port", () => {
    const node = new PortNode();
    const pod = node.add(["tcp 8080 80"]);
    const other = node.add(["tcp 8081 80"], { backend: "nftables" });
    expect(node.table()).toContain("8081");
    expect(node.table()).not.toContain("8080");
    const both = { runtimeConfig: { portMappings: mappings(["tcp 8080 80"]) }, backend: "nftables" };
    expect(errorOf(node.box.call("ADD", node.box.pod(), node.box.conf(both))).code).toBe(11);
    node.del(pod);
    node.del(other);
    expect(node.traces()).toEqual(NO_PORTS);
  });
});
