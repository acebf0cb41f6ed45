import { describe, expect, test } from "bun:test";
import { kernelCheck } from "../../../src/doctor/checks/a2-kernel.ts";
import { FEATURES, isRefusal, parseModuleBlock } from "../../../src/doctor/kernel-features.ts";
import type { Kernel } from "../../../src/doctor/sections/kernel.ts";
import { findingsOf, linesOf } from "./facts.ts";

const BLOCK = "/etc/modprobe.d/cis.conf:3: install vxlan /bin/true";

type State = Kernel["features"][number]["state"];

function of(states: Readonly<Record<string, State>>, facts: Partial<Kernel> = {}) {
  const features = FEATURES.map(({ name }) => ({
    name,
    state: states[name] ?? "there",
    detail: `said of ${name}`,
  }));
  return findingsOf(kernelCheck, {
    kernel: {
      release: "6.1",
      features,
      keys: [],
      mayTunnel: true,
      isReplaced: false,
      isLocked: false,
      ...facts,
    },
  });
}

describe("A2, kernel features", () => {
  test.each<[string, Readonly<Record<string, State>>, Partial<Kernel>, string[]]>([
    ["all there", {}, {}, ["PASS A2 kernel 6.1 has what the network needs"]],
    ["no veth", { veth: "missing" }, {}, ["FAIL A2 kernel 6.1 has no veth"]],
    [
      "no vxlan where peers may be behind a tunnel",
      { vxlan: "missing" },
      {},
      ["FAIL A2 kernel 6.1 has no vxlan"],
    ],
    [
      "no vxlan where none is",
      { vxlan: "missing" },
      { mayTunnel: false },
      ["PASS A2 kernel 6.1 has what the network needs; it has no vxlan, which nothing here asks for"],
    ],
    [
      "no ifb, without limits",
      { ifb: "missing" },
      {},
      ["PASS A2 kernel 6.1 has what the network needs; it has no ifb, which nothing here asks for"],
    ],
    ["no ifb, with limits", { ifb: "missing" }, { keys: ["bandwidth"] }, ["FAIL A2 kernel 6.1 has no ifb"]],
    [
      "nobody may try one",
      { bridge: "unknown" },
      {},
      [
        "PASS A2 kernel 6.1 has what could be looked at",
        "SKIP A2 kernel features: not looked at: bridge: said of bridge",
      ],
    ],
    [
      "nobody may try any",
      Object.fromEntries(FEATURES.map(({ name }) => [name, "unknown"])),
      { features: FEATURES.map(({ name }) => ({ name, state: "unknown", detail: "nobody may" })) },
      [
        "SKIP A2 kernel features: not looked at: veth, bridge, vxlan, masquerade, comments in rules, address types in rules, marks in rules, connection tracking: nobody may",
      ],
    ],
    [
      "one that is kept from being loaded",
      { vxlan: "blocked" },
      { features: [{ name: "vxlan", state: "blocked", detail: BLOCK }] },
      ["FAIL A2 kernel 6.1 may not load vxlan: /etc/modprobe.d/cis.conf:3"],
    ],
    [
      "one that is kept from being loaded, and that nobody needs",
      { ifb: "blocked" },
      {},
      ["PASS A2 kernel 6.1 has what the network needs; it has no ifb, which nothing here asks for"],
    ],
  ])("%s", (_what, states, facts, lines) => {
    expect(linesOf(of(states, facts))).toEqual(lines);
  });

  test("what is missing is told with its module, its option and what it is for", () => {
    expect(of({ vxlan: "missing" })[0]).toMatchObject({
      evidence: ["said of vxlan"],
      cause: "without it nothing serves for the tunnel to peers behind a router (CONFIG_VXLAN)",
      fix: ["modprobe vxlan", expect.stringContaining("linux-modules-extra-6.1")],
    });
  });

  test("after an upgrade of the kernel without a reboot the reboot is what helps", () => {
    expect(of({ vxlan: "missing" }, { isReplaced: true })[0]).toMatchObject({
      evidence: ["said of vxlan", "/lib/modules has no 6.1"],
      fix: ["reboot"],
    });
  });

  test("where nothing can be loaded until the next boot, what to load before", () => {
    expect(of({ vxlan: "missing" }, { isLocked: true })[0]?.fix[0]).toStartWith(
      "echo vxlan > /etc/modules-load.d/minicni-vxlan.conf",
    );
  });

  test("a line of modprobe.d in the way is named, and taken out by the fix", () => {
    const features = [{ name: "vxlan", state: "blocked" as const, detail: BLOCK }];
    expect(of({}, { features })[0]).toMatchObject({
      evidence: [BLOCK],
      fix: ["sed -i '3s/^/# /' /etc/modprobe.d/cis.conf", "modprobe vxlan"],
    });
  });
});

describe("what a trial says", () => {
  test.each<[boolean, string]>([
    [
      true,
      "Warning: Extension MASQUERADE revision 0 not supported, missing kernel module?\niptables v1.8.9 (nf_tables):  RULE_APPEND failed (No such file or directory): rule in chain POSTROUTING",
    ],
    [true, "iptables: No chain/target/match by that name."],
    [true, "RTNETLINK answers: Operation not supported"],
    [true, "Error: Unknown device type."],
    [true, "Error: Specified qdisc kind is unknown."],
    [false, "unshare: unshare failed: Operation not permitted"],
    [false, "unshare: failed to execute tc: No such file or directory"],
    [false, "iptables v1.8.9 (nf_tables): Couldn't load match `comment':No such file or directory"],
    [
      false,
      "iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)",
    ],
  ])("%p: %s", (isSo, stderr) => {
    expect(isRefusal(stderr)).toBe(isSo);
  });
});

describe("a line of modprobe.d", () => {
  test.each<[string, string | null]>([
    ["blacklist vxlan", "vxlan"],
    ["  blacklist nf-conntrack  ", "nf_conntrack"],
    ["install ifb /bin/false", "ifb"],
    ["install ifb /usr/bin/true # CIS", "ifb"],
    ["install ifb /sbin/modprobe --ignore-install ifb && x", null],
    ["# blacklist vxlan", null],
    ["options ifb numifbs=0", null],
    ["", null],
  ])("%p", (line, module) => {
    expect(parseModuleBlock(line)?.module ?? null).toBe(module);
  });
});
