import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { BINARY, run } from "./sandbox.ts";

/** The machine's own network as text: the lab must not change a byte of it. */
function machine(): string {
  const commands = [
    ["ip", "-br", "link"],
    ["ip", "-br", "addr"],
    ["ip", "route", "show", "table", "all"],
    ["ip", "-6", "route", "show", "table", "all"],
    ["iptables-save"],
    ["ip6tables-save"],
    ["sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"],
  ];
  // Counters and dates move by themselves.
  return commands
    .map((argv) =>
      run(argv)
        .stdout.replace(/^#.*$|\[\d+:\d+\]/gm, "")
        .replace(/expires \d+sec/g, ""),
    )
    .join("\n");
}

function lab(...args: string[]) {
  return run([BINARY, "lab", ...args]);
}

function namespaces(): string[] {
  return existsSync("/run/netns")
    ? readdirSync("/run/netns").filter((name) => name.startsWith("mclab-"))
    : [];
}

function inNode(node: number, ...argv: string[]) {
  const child = run(["ip", "netns", "exec", `mclab-node${node}`, ...argv]);
  expect(child.stderr).toBe("");
  return child;
}

interface Report {
  readonly ok: boolean;
  readonly drift: readonly string[];
  readonly probes: readonly { ok: boolean; check: string; seenSource: string | null; from: string }[];
}

function report(): Report & { exitCode: number } {
  const child = lab("test", "--json");
  const parsed: Report = JSON.parse(child.stdout);
  return { ...parsed, exitCode: child.exitCode };
}

const before = machine();

beforeAll(() => {
  if (process.getuid?.() !== 0) throw new Error("the lab's tests need root");
  if (namespaces().length > 0) throw new Error(`a lab is up; remove it first: ${BINARY} lab down`);
});
afterAll(() => {
  lab("down");
});

describe("a lab of 2 nodes with 2 pods", () => {
  test("comes up with the plugin called as a runtime does", () => {
    const child = lab("up", "--nodes", "2", "--pods", "2");
    expect(child.stderr).toBe("");
    expect(child.exitCode).toBe(0);
    expect(namespaces()).toHaveLength(1 + 2 + 4);
  });

  test("has a NodeList in kubectl's form", () => {
    const list: { kind: string; items: { spec: { podCIDRs: string[] } }[] } = JSON.parse(
      readFileSync("/run/minicni-lab/nodelist.json", "utf8"),
    );
    expect(list.kind).toBe("List");
    expect(list.items[1]?.spec.podCIDRs).toEqual(["10.244.2.0/24", "fd00:10:244:2::/64"]);
  });

  test("passes every check in both families, with no NAT and no drift", () => {
    const { ok, exitCode, probes, drift } = report();
    expect(probes.filter((probe) => !probe.ok)).toEqual([]);
    expect(drift).toEqual([]);
    expect(new Set(probes.map(({ check }) => check)).size).toBe(5);
    expect(probes).toHaveLength(2 * (8 + 8 + 4 + 8 + 8));
    expect([ok, exitCode]).toEqual([true, 0]);
  });

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

  test("names a node whose peer route somebody removed, and the pods it cuts off", () => {
    inNode(1, "ip", "route", "del", "10.244.2.0/24");
    const { ok, exitCode, probes, drift } = report();
    expect([ok, exitCode]).toEqual([false, 1]);
    expect(drift.join()).toContain("node1: routes to the pods of peers");
    expect(probes.some((probe) => !probe.ok && probe.check === "pod → pod, across nodes")).toBe(true);
    expect(probes.filter((probe) => probe.check === "pod → pod, same node").every((probe) => probe.ok)).toBe(
      true,
    );
    inNode(1, "ip", "route", "add", "10.244.2.0/24", "via", "172.31.255.2", "proto", "157");
    expect(report().ok).toBe(true);
  }, 60_000);

  test("reports a foreign route in the way and leaves it", () => {
    inNode(1, "ip", "route", "add", "blackhole", "10.244.2.0/24", "metric", "77", "proto", "static");
    const { ok, drift } = report();
    expect(ok).toBe(false);
    expect(drift.join()).toContain("node1: 10.244.2.0/24: a route of protocol 4 by blackhole is in the way");
    inNode(1, "ip", "route", "del", "blackhole", "10.244.2.0/24", "metric", "77");
    expect(report().ok).toBe(true);
  });

  test("sees source NAT at the receiver", () => {
    inNode(1, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE");
    const { ok, probes } = report();
    expect(ok).toBe(false);
    const changed = probes.filter((probe) => !probe.ok);
    expect(changed.map(({ seenSource }) => seenSource)).toContain("172.31.255.1");
    inNode(1, "iptables", "-t", "nat", "-D", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE");
  }, 60_000);

  test("fails across nodes without our FORWARD rules: the default of its nodes is DROP", () => {
    inNode(2, "iptables", "-D", "FORWARD", "-j", "MINICNI-FORWARD");
    const { ok, drift, probes } = report();
    expect(ok).toBe(false);
    expect(drift.join()).toContain("node2: let pod traffic through FORWARD");
    expect(probes.some((probe) => !probe.ok && probe.check === "pod → pod, across nodes")).toBe(true);
  }, 60_000);

  test("goes without a trace, twice", () => {
    expect(lab("down").exitCode).toBe(0);
    expect(lab("down").stdout).toContain("there is no lab");
    expect(namespaces()).toEqual([]);
    expect(existsSync("/run/minicni-lab")).toBe(false);
  });
});

describe("lab demo", () => {
  test("runs up, test and down, and prints the table", () => {
    const child = lab("demo", "--nodes", "2", "--pods", "1");
    expect(child.exitCode).toBe(0);
    expect(child.stdout).toContain("every node as desired");
    expect(namespaces()).toEqual([]);
  });

  test("interrupted at any moment it leaves nothing", async () => {
    for (const delayMs of [30, 120, 250, 400]) {
      const child = Bun.spawn([BINARY, "lab", "demo"], {
        stdout: "ignore",
        stderr: "ignore",
        detached: true,
      });
      await Bun.sleep(delayMs);
      // As a terminal does: the whole foreground process group gets it.
      process.kill(-child.pid, "SIGINT");
      await child.exited;
      expect(namespaces()).toEqual([]);
      expect(existsSync("/run/minicni-lab")).toBe(false);
    }
  }, 60_000);

  test("refuses what it can't make", () => {
    expect(lab("demo", "--backend", "vxlan").stderr).toContain("host-gw");
    expect(lab("up", "--nodes", "0").stderr).toContain("wanted 1");
    expect(lab("test").stderr).toContain("there is no lab");
  });

  test("left the machine's own network as it was", () => {
    expect(machine()).toBe(before);
  });
});
