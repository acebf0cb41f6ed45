import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createRules } from "../../src/entry/agent/rules.ts";
import { openProber, startEcho } from "../../src/host/echo.ts";
import { connectNode, hostIn, PEER_POD, POD, savedRules, tryInNode, WISH } from "./rules-node.ts";
import { destroySandboxes, Sandbox } from "./sandbox.ts";
import { NODE_OUTSIDE, OUTSIDE } from "./views.ts";

setDefaultTimeout(30_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

type Variant = "nft" | "legacy";
const VARIANTS: readonly Variant[] = ["nft", "legacy"];

/** kubelet's mark of its variant, and rules of other programs around ours. */
function foreignRules(variant: Variant, box: Sandbox): void {
  const input = `*mangle
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:KUBE-FORWARD - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -i lo -j REJECT
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
*nat
:KUBE-POSTROUTING - [0:0]
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A POSTROUTING -s 198.51.100.0/24 -j MASQUERADE
COMMIT
`;
  tryInNode(box, [`iptables-${variant}-restore`, "--noflush"], input);
  const six = input.replace(/198.51.100.0\/24/, "2001:db8:5::/48");
  tryInNode(box, [`ip6tables-${variant}-restore`, "--noflush"], six);
}

function node(variant: Variant) {
  const box = new Sandbox();
  foreignRules(variant, box);
  const host = hostIn(box.netns);
  return { box, host, rules: createRules(host) };
}

/** The source that the world sees of what the pod sends to `to`; null: it never came. */
async function seen(from: string, to: string, listener: string): Promise<string | null> {
  const echo = await startEcho(listener);
  const prober = await openProber(from);
  try {
    return (await prober.ask(to, 4, 500)).seenSource?.replace(/^::ffff:/, "") ?? null;
  } finally {
    prober.close();
    echo.close();
  }
}

for (const variant of VARIANTS) {
  const programs = [`iptables-${variant}`, `ip6tables-${variant}`];

  describe(`rules by iptables-${variant}`, () => {
    test("are made beside those of others, and the next pass changes nothing", async () => {
      const { box, host, rules } = node(variant);
      const before = programs.map((program) => savedRules(box, program, true));
      const first = await rules.resync(WISH);
      expect(first).toMatchObject({ variant, faults: [] });
      expect(host.restores()).toBe(2);
      expect(programs.map((program) => savedRules(box, program, true))).toEqual(before);
      const [forward] = savedRules(box, programs[0] ?? "").filter((line) => line.startsWith("-A FORWARD"));
      expect(forward).toBe("-A FORWARD -j MINICNI-FORWARD");
      expect(await rules.resync(WISH)).toEqual({ changes: [], faults: [], warnings: [], variant, plan: [] });
      // As after a restart of the agent.
      expect(await createRules(host).resync(WISH)).toMatchObject({ changes: [], faults: [] });
      expect(host.restores()).toBe(2);
    });

    test("are printed back in the words in which they are compared", async () => {
      const { box, rules } = node(variant);
      await rules.resync(WISH);
      const saved = savedRules(box, programs[0] ?? "");
      const printed = ["-A MINICNI-FORWARD ", "-A MINICNI-POSTROUTING "].flatMap((start) =>
        saved.filter((line) => line.startsWith(start)),
      );
      expect(printed).toEqual([
        "-A MINICNI-FORWARD -s 10.244.1.0/24 -j ACCEPT",
        "-A MINICNI-FORWARD -d 10.244.1.0/24 -j ACCEPT",
        "-A MINICNI-FORWARD -s 10.244.2.0/24 -j ACCEPT",
        "-A MINICNI-FORWARD -d 10.244.2.0/24 -j ACCEPT",
        "-A MINICNI-POSTROUTING -m mark --mark 0x4000/0x4000 -j RETURN",
        "-A MINICNI-POSTROUTING ! -s 10.244.1.0/24 -j RETURN",
        "-A MINICNI-POSTROUTING -d 10.244.1.0/24 -j RETURN",
        "-A MINICNI-POSTROUTING -d 10.244.2.0/24 -j RETURN",
        "-A MINICNI-POSTROUTING -d 224.0.0.0/4 -j RETURN",
        "-A MINICNI-POSTROUTING -s 10.244.1.0/24 -j MASQUERADE --random-fully",
      ]);
    });

    const flushed = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j REJECT\nCOMMIT\n*nat\nCOMMIT\n";
    test.each([
      ["a flushed filter table", [["-F"]], ""],
      ["a flushed nat table", [["-t", "nat", "-F"]], ""],
      ["flushed tables without chains", [["-F"], ["-X"], ["-t", "nat", "-F"], ["-t", "nat", "-X"]], ""],
      ["a deleted jump", [["-D", "FORWARD", "-j", "MINICNI-FORWARD"]], ""],
      ["a second jump", [["-A", "FORWARD", "-j", "MINICNI-FORWARD"]], ""],
      ["a deleted rule", [["-D", "MINICNI-FORWARD", "1"]], ""],
      ["a rule of somebody else in our chain", [["-I", "MINICNI-FORWARD", "-j", "DROP"]], ""],
      ["a deleted masquerade", [["-t", "nat", "-D", "MINICNI-POSTROUTING", "4"]], ""],
      ["a restore that flushes all", [], flushed],
      ["a REJECT ahead of all", [["-I", "FORWARD", "-j", "REJECT"]], ""],
    ] as const)("come back after %s", async (_what, commands, restore) => {
      const { box, rules } = node(variant);
      await rules.resync(WISH);
      const ours = () =>
        programs.map((program) => savedRules(box, program).filter((line) => line.includes("MINICNI")));
      const desired = ours();
      for (const program of programs) {
        for (const words of commands) tryInNode(box, [program, ...words]);
        if (restore !== "") tryInNode(box, [`${program}-restore`], restore);
      }
      const foreign = programs.map((program) => savedRules(box, program, true));
      const { changes, faults } = await rules.resync(WISH);
      expect(changes.length).toBeGreaterThanOrEqual(2);
      expect(changes.every(({ isRepair }) => isRepair)).toBe(true);
      expect(faults).toEqual([]);
      expect(ours()).toEqual(desired);
      expect(programs.map((program) => savedRules(box, program, true))).toEqual(foreign);
      expect(await rules.resync(WISH)).toMatchObject({ changes: [], faults: [] });
    });

    test("let pods through a FORWARD that drops, and masquerade what leaves the cluster", async () => {
      const { box, rules } = node(variant);
      const { pod, world } = connectNode(box);
      expect(await seen(pod.netns, PEER_POD[0], world.netns)).toBeNull();
      await rules.resync(WISH);
      for (const family of [0, 1] as const) {
        expect(await seen(pod.netns, OUTSIDE[family], world.netns)).toBe(NODE_OUTSIDE[family]);
        expect(await seen(pod.netns, PEER_POD[family], world.netns)).toBe(POD[family]);
      }
    });

    test("leave to kube-proxy what it marked", async () => {
      const { box, rules } = node(variant);
      const { pod, world } = connectNode(box);
      await rules.resync(WISH);
      const mark = ["-t", "mangle", "-A", "FORWARD", "-j", "MARK", "--set-xmark", "0x4000/0x4000"];
      for (const program of programs) box.node(program, ...mark);
      for (const family of [0, 1] as const)
        expect(await seen(pod.netns, OUTSIDE[family], world.netns)).toBe(POD[family]);
    });

    test("of IPv6 pods alone leave IPv4 as it is, and take away what was there of it", async () => {
      const { box, rules } = node(variant);
      const { pod, world } = connectNode(box);
      const before = savedRules(box, programs[0] ?? "");
      await rules.resync(WISH);
      const six = { ...WISH, podCidrs: WISH.podCidrs.slice(1) };
      await createRules(hostIn(box.netns)).resync(six);
      expect(savedRules(box, programs[0] ?? "")).toEqual(before);
      expect(await seen(pod.netns, OUTSIDE[1], world.netns)).toBe(NODE_OUTSIDE[1]);
    });

    test("without masquerade have nothing in nat", async () => {
      const { box, rules } = node(variant);
      await rules.resync(WISH);
      await rules.resync({ ...WISH, masquerade: false });
      for (const program of programs)
        expect(savedRules(box, program).filter((line) => line.includes("MINICNI-POSTROUTING"))).toEqual([]);
    });

    test("of thousands of nodes are whole after one pass, and the next one changes nothing", async () => {
      const { rules } = node(variant);
      const nodeAddresses = Array.from({ length: 2000 }, (_, index) => ({
        family: 4 as const,
        value: 0xc6120000n + 2n * BigInt(index),
      }));
      const wish = { ...WISH, nodeAddresses };
      expect(await rules.resync(wish)).toMatchObject({ faults: [] });
      expect(await rules.resync({ ...wish })).toMatchObject({ changes: [], faults: [] });
    });
  });
}
