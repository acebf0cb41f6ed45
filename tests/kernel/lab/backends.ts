import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import {
  addressesOf,
  agentLog,
  downLab,
  FOLDER,
  inside,
  lists,
  machine,
  mustLab,
  pathsOf,
  report,
  upLab,
  wrongs,
} from "./cluster.ts";

const before = machine();

const pairs = (path: string) =>
  [4, 6]
    .flatMap((family) => ["node1>node2", "node2>node1"].map((pair) => `${pair} v${family} ${path}`))
    .sort();

const mtuOf = (pod: string) =>
  Number(/ mtu (\d+) /.exec(inside(pod, "ip", "-o", "link", "show", "eth0"))?.[1]);

describe("backends of the lab", () => {
  describe("2 nodes on one subnet", () => {
    afterAll(downLab);

    test("with vxlan everything between nodes goes through the tunnel, sources kept", () => {
      upLab("--nodes", "2", "--pods", "2", "--backend", "vxlan");
      const found = report();
      expect(wrongs(found)).toEqual([]);
      expect(pathsOf(found)).toEqual(pairs("tunnel"));
      // 50 bytes for the tunnel over IPv4, 70 over IPv6; one link carries both.
      expect(mtuOf("node1-pod1")).toBe(1430);
    }, 60_000);

    test("with host-gw the tunnel goes, and everything is direct", () => {
      mustLab("backend", "host-gw");
      expect(pathsOf(report())).toEqual(pairs("direct"));
      expect(wrongs(report())).toEqual([]);
      expect(lists("node1", "minicni.vxlan", "ip", "link")).toBe(false);
    }, 60_000);

    test("with auto it stays direct, and the devices for tunnels are there", () => {
      mustLab("backend", "auto");
      const found = report();
      expect(wrongs(found)).toEqual([]);
      expect(pathsOf(found)).toEqual(pairs("direct"));
    }, 60_000);
  });

  describe("3 nodes in 2 subnets", () => {
    afterAll(downLab);

    test("with auto: direct within a subnet, through the tunnel across, all with full-size packets", () => {
      upLab("--nodes", "3", "--pods", "1", "--subnets", "2");
      const found = report();
      expect(wrongs(found)).toEqual([]);
      const paths = pathsOf(found).filter((path) => path.includes(" v4 "));
      expect(paths).toEqual([
        "node1>node2 v4 direct",
        "node1>node3 v4 tunnel",
        "node2>node1 v4 direct",
        "node2>node3 v4 tunnel",
        "node3>node1 v4 tunnel",
        "node3>node2 v4 tunnel",
      ]);
      expect(pathsOf(found)).toEqual([...paths, ...paths.map((path) => path.replace("v4", "v6"))].sort());
      expect(found.probes.filter(({ check }) => check === "full-size packet")).toHaveLength(12);
    }, 60_000);

    test("the router between them knows no pod network", () => {
      expect(lists("router", "10.244.", "ip", "route")).toBe(false);
      expect(lists("router", "fd00:10:244", "ip", "-6", "route")).toBe(false);
    });

    test("with host-gw the pods behind the router are not reached, and the agent says why", () => {
      mustLab("backend", "host-gw");
      const found = report();
      expect(found.ok).toBe(false);
      const failed = found.probes.filter((probe) => !probe.ok);
      expect(failed.length).toBeGreaterThan(0);
      // Node 3 alone is in the other subnet.
      for (const { from, to } of failed) expect(`${from} ${to}`).toContain("node3");
      expect(pathsOf(found)).toContain("node1>node3 v4 none");
      expect(pathsOf(found)).toContain("node1>node2 v4 direct");
      expect(readFileSync(agentLog("node1"), "utf8")).toMatch(/node3.*behind gateway 172\.31\.255\.254/);
    }, 60_000);
  });

  describe("one family", () => {
    afterEach(downLab);

    test.each([
      ["--ipv4", /^10\.244\./],
      ["--ipv6", /^fd00:10:244:/],
    ] as const)(
      "%s across subnets: nothing of the other",
      (option, form) => {
        upLab("--nodes", "2", "--pods", "1", "--subnets", "2", option);
        const found = report();
        expect(wrongs(found)).toEqual([]);
        expect(found.probes).toHaveLength(4 + 4 + 2 + 4 + 2);
        for (const address of addressesOf("node1/pod1")) expect(address).toMatch(form);
        expect(addressesOf("node1/pod1")).toHaveLength(1);
      },
      60_000,
    );

    test("--mtu of the underlay shrinks the pods' links", () => {
      upLab("--nodes", "2", "--pods", "1", "--subnets", "2", "--ipv4", "--mtu", "1400");
      expect(mtuOf("node1-pod1")).toBe(1350);
      expect(wrongs(report())).toEqual([]);
    }, 60_000);
  });

  test("nothing is left, and the machine's own network is as it was", () => {
    expect(existsSync(FOLDER)).toBe(false);
    expect(machine()).toBe(before);
  });
});
