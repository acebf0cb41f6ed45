import { afterAll, describe, expect, test } from "bun:test";
import { DoctorNode } from "./doctor.ts";
import { destroySandboxes } from "./sandbox.ts";

afterAll(destroySandboxes);

describe("A10, tracked connections", () => {
  test("of an idle node is no finding, with the kernel's figures as evidence", () => {
    const node = new DoctorNode();
    const [finding] = node.findings("A10");
    const max = node.box.node("sysctl", "-n", "net.netfilter.nf_conntrack_max").trim();
    expect(finding?.level).toBe("pass");
    expect(finding?.evidence).toContain(`net.netfilter.nf_conntrack_max = ${max}`);
  });

  test("a table that is nearly full is named, with the limit to set", () => {
    const node = new DoctorNode();
    // The limit belongs to the machine, so that the facts are changed: they are as the kernel gave them otherwise.
    const file = `${node.box.dir}/facts.json`;
    node.doctor("--save", file);
    const facts = JSON.parse(node.box.node("cat", file));
    facts.sections.conntrack.seen.count = facts.sections.conntrack.seen.max;
    node.write("/facts.json", JSON.stringify(facts));
    const [finding] = node.findings("A10", "--from", `${node.root}/facts.json`);
    expect(finding?.level).toBe("fail");
    expect(finding?.fix[0]).toBe(
      `sysctl -w net.netfilter.nf_conntrack_max=${facts.sections.conntrack.seen.max * 2}`,
    );
  });
});
