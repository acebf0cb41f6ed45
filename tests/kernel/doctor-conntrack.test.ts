import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { DoctorNode } from "./doctor.ts";
import { destroySandboxes, must } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

/** The limit belongs to the machine and can't be lowered for a namespace: where it is high, filling it would take too long. */
const MAX = Number(must("sysctl", "-n", "net.netfilter.nf_conntrack_max").trim());
const MOST = 300_000;

/** A node on which connections are tracked. */
function tracking(): DoctorNode {
  const node = new DoctorNode();
  node.box.node("iptables", "-A", "OUTPUT", "-m", "conntrack", "--ctstate", "NEW");
  // Or each would be refused, and the sender told.
  node.box.node("iptables", "-A", "INPUT", "-p", "udp", "-j", "DROP");
  return node;
}

/** Tracks so many connections, each kept for half a minute without an answer. */
function fill(node: DoctorNode, count: number): void {
  must(
    "nsenter",
    `--net=${node.box.netns}`,
    process.execPath,
    `${import.meta.dir}/conntrack-fill-main.ts`,
    String(count),
  );
}

describe("A10, tracked connections", () => {
  test("of an idle node is no finding, with the kernel's figures as evidence", () => {
    const [finding] = tracking().findings("A10");
    expect(finding?.level).toBe("pass");
    expect(finding?.evidence).toContain(`net.netfilter.nf_conntrack_max = ${MAX}`);
  });

  test("some thousand are none either, and are counted", () => {
    const node = tracking();
    fill(node, 3_000);
    const [finding] = node.findings("A10");
    expect(finding?.level).toBe("pass");
    expect(Number(/^(\d+) of/.exec(finding?.message ?? "")?.[1])).toBeGreaterThan(2_000);
  });

  test.skipIf(MAX > MOST)("a table that is nearly full is named, with the limit to set", () => {
    const node = tracking();
    fill(node, Math.ceil(MAX * 0.85));
    const [finding] = node.findings("A10");
    node.box.node("iptables", "-F", "OUTPUT");
    expect(finding?.level).toBe("warn");
    expect(finding?.message).toMatch(new RegExp(`^\\d+ of ${MAX} tracked connections in use$`));
    expect(finding?.fix[0]).toBe(`sysctl -w net.netfilter.nf_conntrack_max=${MAX * 2}`);
  });
});
