import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { createRules } from "../../src/entry/agent/rules.ts";
import { chooseVariant, isRandomFullyKnown, observeChain } from "../../src/host/iptables.ts";
import { hostIn, savedRules, tryInNode, WISH } from "./rules-node.ts";
import { destroySandboxes, Sandbox } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const OTHER = { nft: "legacy", legacy: "nft" } as const;
const hint = (box: Sandbox, program: string) =>
  tryInNode(box, [program, "-t", "mangle", "-N", "KUBE-IPTABLES-HINT"]);

test.each(["nft", "legacy"] as const)(
  "KUBE-* chains in %s choose it; another choice moves all of ours",
  async (variant) => {
    const box = new Sandbox();
    const host = hostIn(box.netns);
    let clockMs = 0;
    const rules = createRules(host, () => clockMs);
    hint(box, `iptables-${variant}`);
    expect(await rules.resync(WISH)).toMatchObject({ variant, faults: [] });
    box.node(`iptables-${variant}`, "-t", "mangle", "-X");
    hint(box, `ip6tables-${OTHER[variant]}`);
    clockMs = 60_000;
    expect(await rules.resync(WISH)).toMatchObject({ variant: OTHER[variant], faults: [] });
    for (const family of ["iptables", "ip6tables"]) {
      const left = savedRules(box, `${family}-${variant}`);
      expect(left.filter((line) => line.includes("MINICNI"))).toEqual([]);
      const made = savedRules(box, `${family}-${OTHER[variant]}`);
      expect(made.filter((line) => line.endsWith("-j MINICNI-FORWARD"))).toHaveLength(1);
    }
  },
);

test("KUBE-* chains in both are told", async () => {
  const box = new Sandbox();
  for (const variant of ["nft", "legacy"]) hint(box, `iptables-${variant}`);
  const { variant, warnings } = await createRules(hostIn(box.netns)).resync(WISH);
  expect(variant).toBe("nft");
  expect(warnings).toEqual([expect.stringContaining("KUBE-* chains in both nft and legacy")]);
});

test.each([
  ["nft", "legacy"],
  ["legacy", "nft"],
] as const)("with rules in %s a FORWARD of %s that drops is told", async (variant, other) => {
  const box = new Sandbox();
  hint(box, `iptables-${variant}`);
  box.node(`iptables-${other}`, "-P", "FORWARD", "DROP");
  const { faults, warnings } = await createRules(hostIn(box.netns)).resync(WISH);
  expect(faults).toEqual([]);
  expect(warnings).toEqual([expect.stringContaining(`FORWARD of iptables-${other} drops by policy`)]);
});

test("a look makes no x_tables table, and the probe for --random-fully leaves nothing", async () => {
  const box = new Sandbox();
  const host = hostIn(box.netns);
  expect(await chooseVariant(host)).toMatchObject({ warning: null });
  await createRules(host).resync(WISH, { isDryRun: true });
  expect(box.node("cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")).toBe("");
  expect(box.node("nft", "list", "ruleset")).toBe("");
  for (const variant of ["nft", "legacy"] as const) {
    for (const family of [4, 6] as const) {
      expect(await isRandomFullyKnown(host, family, variant)).toBe(true);
      expect(await observeChain(host, family, variant, "nat", "MINICNI-PROBE")).toBeNull();
    }
  }
});

test("a FORWARD with rules that iptables has no words for gets one jump, ahead of what drops", async () => {
  const box = new Sandbox();
  const host = hostIn(box.netns);
  const rules = createRules(host);
  await rules.resync(WISH);
  box.node("nft", "insert", "rule", "ip", "filter", "FORWARD", "ip saddr { 1.2.3.4, 5.6.7.8 } drop");
  const { changes, faults } = await rules.resync(WISH);
  expect({ changes, faults }).toMatchObject({ changes: [{ what: "jump behind a refusal" }], faults: [] });
  expect(await rules.resync(WISH)).toMatchObject({ changes: [], faults: [] });
  const listed = box.node("nft", "list", "chain", "ip", "filter", "FORWARD").split("\n");
  expect(listed.filter((line) => line.includes("jump MINICNI-FORWARD"))).toHaveLength(1);
  const [first = "", second = ""] = listed.slice(3).map((line) => line.trim());
  expect(first).toEndWith("jump MINICNI-FORWARD");
  expect(second).toBe("ip saddr { 1.2.3.4, 5.6.7.8 } drop");
});
