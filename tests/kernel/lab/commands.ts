import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { BINARY, run } from "../sandbox.ts";
import {
  agentPid,
  downLab,
  FOLDER,
  hasEnded,
  inside,
  lab,
  machine,
  mustLab,
  namespaces,
  report,
  until,
  upLab,
  wrongs,
} from "./cluster.ts";

const before = machine();
describe("commands of the lab", () => {
  afterAll(downLab);

  const LOCK = `${FOLDER}.lock`;

  describe("a lab of 2 nodes with 2 pods", () => {
    test("comes up with an agent on each node, and the plugin called as a runtime does", () => {
      upLab("--nodes", "2", "--pods", "2");
      expect(namespaces()).toHaveLength(1 + 2 + 4);
      for (const node of ["node1", "node2"]) {
        const netns = run(["ip", "netns", "identify", String(agentPid(node))]).stdout.trim();
        expect(netns).toBe(`mclab-${node}`);
        expect(existsSync(`${FOLDER}/${node}/conf/10-minicni.conflist`)).toBe(true);
      }
    });

    test("has a NodeList in kubectl's form", () => {
      const list: { kind: string; items: { spec: { podCIDRs: string[] } }[] } = JSON.parse(
        readFileSync(`${FOLDER}/nodelist.json`, "utf8"),
      );
      expect(list.kind).toBe("List");
      expect(list.items[1]?.spec.podCIDRs).toEqual(["10.244.2.0/24", "fd00:10:244:2::/64"]);
    });

    test("passes every check in both families, with no NAT and no drift", () => {
      const found = report();
      expect(wrongs(found)).toEqual([]);
      expect(new Set(found.probes.map(({ check }) => check)).size).toBe(6);
      expect(found.probes).toHaveLength(2 * (8 + 8 + 4 + 8 + 8 + 2));
      expect([found.ok, found.exitCode]).toEqual([true, 0]);
    }, 30_000);

    test("refuses to come up twice and names the way out", () => {
      const child = lab("up");
      expect(child.exitCode).toBe(1);
      expect(child.stderr).toContain("there is a lab already");
      expect(child.stderr).toContain("minicni lab down");
    });

    test("a demo beside it leaves it alone", () => {
      expect(lab("demo").exitCode).toBe(1);
      expect(namespaces()).toHaveLength(7);
    });

    test("whoever changes it keeps others out, and they are told who", () => {
      const held = Bun.spawn(["flock", "--no-fork", LOCK, "sleep", "30"]);
      try {
        const isHeld = () => run(["flock", "-n", LOCK, "true"]).exitCode === 1;
        for (let tries = 0; tries < 100 && !isHeld(); tries++) Bun.sleepSync(20);
        const child = lab("down");
        expect(child.exitCode).toBe(1);
        expect(child.stderr).toContain("is changing the lab right now");
        expect(namespaces()).toHaveLength(7);
      } finally {
        held.kill("SIGKILL");
      }
    });

    test("names a node without an agent, and one whose peer route somebody removed meanwhile", () => {
      mustLab("agent", "stop", "node1");
      inside("node1", "ip", "route", "del", "10.244.2.0/24");
      const found = report();
      expect([found.ok, found.exitCode]).toEqual([false, 1]);
      expect(found.drift).toHaveLength(1);
      expect(found.drift[0]).toMatch(/^node1: no agent runs; .*peer/);
      const failed = found.probes.filter((probe) => !probe.ok);
      expect(failed.map(({ check }) => check)).toContain("pod → pod, across nodes");
      expect(failed.map(({ check }) => check)).not.toContain("pod → pod, same node");
      mustLab("agent", "start", "node1");
      expect(wrongs(report())).toEqual([]);
    }, 60_000);

    test("tells of a foreign route in the way, which stays", async () => {
      inside("node1", "ip", "route", "replace", "10.244.2.0/24", "via", "172.31.255.2", "proto", "static");
      const { remarks } = report();
      expect(remarks.join("\n")).toMatch(/node1: .*10\.244\.2\.0\/24.*protocol 4.* in the way/);
      expect(inside("node1", "ip", "route", "show", "10.244.2.0/24")).toContain("proto static");
      inside("node1", "ip", "route", "del", "10.244.2.0/24", "proto", "static");
      await until("ours is there again", () => wrongs(report()).length === 0);
    }, 60_000);

    test("sees source NAT at the receiver", () => {
      const rule = ["POSTROUTING", "-o", "eth0", "-j", "MASQUERADE"];
      inside("node1", "iptables", "-t", "nat", "-I", ...rule);
      const found = report();
      expect(found.ok).toBe(false);
      const changed = found.probes.filter((probe) => !probe.ok);
      expect(changed.map(({ seenSource }) => seenSource)).toContain("172.31.255.1");
      inside("node1", "iptables", "-t", "nat", "-D", ...rule);
    }, 60_000);

    test("sees where a packet of full size does not get through", () => {
      inside("node1", "ip", "link", "set", "eth0", "mtu", "1400");
      const failed = report().probes.filter((probe) => !probe.ok);
      inside("node1", "ip", "link", "set", "eth0", "mtu", "1500");
      expect([...new Set(failed.map(({ check }) => check))]).toEqual(["full-size packet"]);
    }, 60_000);

    test("fails across nodes without our FORWARD rules: the default of its nodes is DROP", () => {
      mustLab("agent", "stop", "node2");
      inside("node2", "iptables", "-F", "MINICNI-FORWARD");
      const { ok, probes } = report();
      expect(ok).toBe(false);
      expect(probes.some((probe) => !probe.ok && probe.check === "pod → pod, across nodes")).toBe(true);
    }, 60_000);

    test("goes without a trace, twice, also an agent whose PID file is lost", () => {
      const pid = agentPid("node1");
      run(["rm", `${FOLDER}/node1/agent.pid`]);
      expect(lab("down").exitCode).toBe(0);
      expect(lab("down").stdout).toContain("there is no lab");
      expect(namespaces()).toEqual([]);
      expect(existsSync(FOLDER)).toBe(false);
      expect(hasEnded(pid)).toBe(true);
    });
  });

  describe("lab demo", () => {
    test("runs up, test and down, and prints the table", () => {
      const child = lab("demo", "--nodes", "2", "--pods", "1");
      expect(child.exitCode).toBe(0);
      expect(child.stdout).toContain("every node as desired");
      expect(namespaces()).toEqual([]);
    }, 60_000);

    test("interrupted at any moment it leaves nothing", async () => {
      for (const delayMs of [30, 150, 400, 800]) {
        const child = Bun.spawn([BINARY, "lab", "demo"], {
          stdout: "ignore",
          stderr: "ignore",
          detached: true,
        });
        await Bun.sleep(delayMs);
        // As a terminal does: the whole foreground process group gets it.
        if (child.exitCode === null) process.kill(-child.pid, "SIGINT");
        await child.exited;
        expect(namespaces()).toEqual([]);
        expect(existsSync(FOLDER)).toBe(false);
        expect(run(["pgrep", "-f", `agent .*${FOLDER}`]).stdout).toBe("");
      }
    }, 120_000);

    test("refuses what it can't make", () => {
      expect(lab("demo", "--backend", "calico").stderr).toContain("host-gw");
      expect(lab("up", "--nodes", "0").stderr).toContain("wanted 1");
      expect(lab("up", "--nodes", "2", "--subnets", "3").stderr).toContain("wanted 1 … 2");
      expect(lab("up", "--ipv4", "--ipv6").exitCode).toBe(2);
      expect(lab("test").stderr).toContain("there is no lab");
    });

    test("left the machine's own network as it was", () => {
      expect(machine()).toBe(before);
    });
  });
});
