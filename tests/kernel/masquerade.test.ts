import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { openProber, startEcho } from "../../src/host/echo.ts";
import { destroySandboxes, type Json, must, NOTHING, type Pod, Sandbox } from "./sandbox.ts";
import { addressesOf, connectOutside, errorOf, NODE_OUTSIDE, OUTSIDE } from "./views.ts";

setDefaultTimeout(30_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

type Backend = "iptables" | "nftables";
const BACKENDS: readonly Backend[] = ["iptables", "nftables"];
const BACK = ["10.7.0.0/24", "fd00:7::/64", "10.70.0.0/24"];

function masqueraded(box: Sandbox, backend: Backend, more: Json = {}): Json {
  return box.conf({ ipMasq: true, ipMasqBackend: backend, ...more });
}

/** The source that the receiver at `to` sees of what `from` sends; null: it never came, or no answer did. */
async function seen(from: string, to: string, listener: string): Promise<string | null> {
  const echo = await startEcho(listener);
  const prober = await openProber(from);
  try {
    return (await prober.ask(to, 8, 500)).seenSource?.replace(/^::ffff:/, "") ?? null;
  } finally {
    prober.close();
    echo.close();
  }
}

function publish(box: Sandbox, clusterCidrs: string[]): void {
  mkdirSync(box.stateDir, { recursive: true });
  writeFileSync(`${box.stateDir}/node.json`, JSON.stringify({ podCidrs: [], clusterCidrs, ready: true }));
}

/** All of ours in the node, whichever backend: no line means that nothing is left. */
function rules(box: Sandbox, backend: Backend): string[] {
  if (backend === "iptables") return [...box.natRules(4), ...box.natRules(6)];
  return box
    .node("nft", "list", "tables", "inet")
    .split("\n")
    .filter((line) => line.includes("minicni"))
    .flatMap((line) => box.node("nft", "list", ...line.split(" ")).split("\n"));
}

function counted(box: Sandbox, backend: Backend): number {
  return rules(box, backend).length;
}

/** A node with a way out, where the world knows a way back to the pods: an unmasqueraded source shows. */
function connected(routes = BACK): { box: Sandbox; world: Pod } {
  const box = new Sandbox();
  const world = box.pod();
  connectOutside(box, world.netns, routes);
  return { box, world };
}

for (const backend of BACKENDS) {
  describe(`masquerade by ${backend}`, () => {
    test("outside, a pod has the node's address; without ipMasq its own", async () => {
      const { box, world } = connected();
      const [plain, masked] = [box.pod(), box.pod()];
      const own = addressesOf(box.add(plain, box.conf()));
      for (const [family, to] of OUTSIDE.entries())
        expect(await seen(plain.netns, to, world.netns)).toBe(own[family] ?? "");
      box.add(masked, masqueraded(box, backend));
      for (const [family, to] of OUTSIDE.entries())
        expect(await seen(masked.netns, to, world.netns)).toBe(NODE_OUTSIDE[family] ?? "");
    });

    test("between pods, to the node and to the cluster's CIDRs the source stays", async () => {
      const { box, world } = connected();
      publish(box, ["192.0.2.0/28", "2001:db8::/32", "10.7.0.0/16"]);
      const [a, b] = [box.pod(), box.pod()];
      const own = addressesOf(box.add(a, masqueraded(box, backend)));
      const other = addressesOf(box.add(b, masqueraded(box, backend)));
      for (const family of [0, 1]) {
        const source = own[family] ?? "";
        expect(await seen(a.netns, other[family] ?? "", b.netns)).toBe(source);
        expect(await seen(a.netns, OUTSIDE[family] ?? "", world.netns)).toBe(source);
        expect(await seen(a.netns, ["10.7.0.1", "fd00:7::1"][family] ?? "", box.netns)).toBe(source);
      }
    });

    test("the next ADD follows changed cluster CIDRs, for all pods", async () => {
      const { box, world } = connected();
      const [first, second, third] = [box.pod(), box.pod(), box.pod()];
      const [own = ""] = addressesOf(box.add(first, masqueraded(box, backend)));
      expect(await seen(first.netns, OUTSIDE[0], world.netns)).toBe(NODE_OUTSIDE[0]);
      publish(box, ["192.0.2.0/24"]);
      box.add(second, masqueraded(box, backend));
      expect(await seen(first.netns, OUTSIDE[0], world.netns)).toBe(own);
      publish(box, []);
      box.add(third, masqueraded(box, backend));
      expect(await seen(first.netns, OUTSIDE[0], world.netns)).toBe(NODE_OUTSIDE[0]);
    });

    test("as many rules for five pods as for one; the last DEL takes all of both families", () => {
      const box = new Sandbox();
      const pods = box.pods(5);
      const counts = pods.map((pod) => {
        box.add(pod, masqueraded(box, backend));
        return counted(box, backend);
      });
      expect(new Set(counts).size).toBe(1);
      expect(counts[0]).toBeGreaterThan(0);
      for (const pod of pods) {
        expect(counted(box, backend)).toBe(counts[0] ?? 0);
        expect(box.call("DEL", pod, masqueraded(box, backend)).exitCode).toBe(0);
      }
      expect(rules(box, backend)).toEqual([]);
      expect(box.leftovers()).toEqual(NOTHING);
    });

    test("pods with ranges of their own (runtimeConfig.ipRanges) are all masqueraded", async () => {
      const { box, world } = connected();
      const [a, b] = [box.pod(), box.pod()];
      const ranged = (subnet: string) =>
        box.conf(
          { ipMasq: true, ipMasqBackend: backend, runtimeConfig: { ipRanges: [[{ subnet }]] } },
          { ranges: [], routes: [{ dst: "0.0.0.0/0" }] },
        );
      box.add(a, ranged("10.7.0.0/24"));
      const prevResult = box.add(b, ranged("10.70.0.0/24"));
      for (const pod of [a, b]) expect(await seen(pod.netns, OUTSIDE[0], world.netns)).toBe(NODE_OUTSIDE[0]);
      expect(await seen(a.netns, addressesOf(prevResult)[0] ?? "", b.netns)).toBe("10.7.0.2");
      expect(box.call("CHECK", b, { ...ranged("10.70.0.0/24"), prevResult }).exitCode).toBe(0);
      for (const pod of [a, b]) box.call("DEL", pod, ranged("10.7.0.0/24"));
      expect(rules(box, backend)).toEqual([]);
    });

    const damages: readonly (readonly [string, (box: Sandbox) => unknown])[] =
      backend === "iptables"
        ? [
            ["the jump was deleted", (box) => box.node("iptables", "-t", "nat", "-F", "POSTROUTING")],
            ["the IPv6 jump was deleted", (box) => box.node("ip6tables", "-t", "nat", "-F", "POSTROUTING")],
            ["the chain was flushed", (box) => box.node("iptables", "-t", "nat", "-F", chainOf(box))],
            ["the whole nat table was flushed", (box) => box.node("iptables", "-t", "nat", "-F")],
          ]
        : [
            ["the table was deleted", (box) => box.node("nft", "delete", "table", "inet", tableOf(box))],
            ["the table was flushed", (box) => box.node("nft", "flush", "table", "inet", tableOf(box))],
            [
              "the chain was flushed",
              (box) => box.node("nft", "flush", "chain", "inet", tableOf(box), "postrouting"),
            ],
          ];
    for (const [what, damage] of damages) {
      test(`${what}: CHECK fails, the next ADD makes it good`, async () => {
        const { box, world } = connected();
        const [pod, next] = [box.pod(), box.pod()];
        const prevResult = box.add(pod, masqueraded(box, backend));
        const check = () => box.call("CHECK", pod, masqueraded(box, backend, { prevResult }));
        expect(check().exitCode).toBe(0);
        const before = counted(box, backend);
        damage(box);
        const error = errorOf(check());
        expect(error.code).toBe(999);
        expect(error.details).toMatch(/MINICNI-MASQ|minicni_masq/);
        box.add(next, masqueraded(box, backend));
        expect(counted(box, backend)).toBe(before);
        expect(check()).toEqual({ exitCode: 0, stdout: "", stderr: "" });
        for (const [family, to] of OUTSIDE.entries())
          expect(await seen(pod.netns, to, world.netns)).toBe(NODE_OUTSIDE[family] ?? "");
      });
    }
  });
}

function chainOf(box: Sandbox): string {
  return /MINICNI-MASQ-\w+/.exec(box.natRules(4).join("\n"))?.[0] ?? "(none)";
}

function tableOf(box: Sandbox): string {
  return /minicni_masq_\w+/.exec(box.node("nft", "list", "tables", "inet"))?.[0] ?? "(none)";
}

describe("masquerade", () => {
  test("foreign rules of the same tables stay as they are, through ADD and DEL", () => {
    const box = new Sandbox();
    const foreign = ["-t", "nat", "-A", "POSTROUTING", "-d", "203.0.113.0/24", "-j", "RETURN"];
    box.node("iptables", ...foreign);
    const saved = () => box.node("iptables-save", "-t", "nat").replace(/^[:#].*\n/gm, "");
    const before = saved();
    const pod = box.pod();
    box.add(pod, masqueraded(box, "iptables"));
    expect(saved()).toContain("203.0.113.0/24");
    box.call("DEL", pod, masqueraded(box, "iptables"));
    expect(saved()).toBe(before);
  });

  test("the backend that an attachment was made with goes, whatever DEL's configuration names", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod, masqueraded(box, "nftables"));
    must("ip", "netns", "del", pod.netns.replace("/run/netns/", ""));
    expect(box.call("DEL", pod, box.conf()).exitCode).toBe(0);
    expect(rules(box, "nftables")).toEqual([]);
  });

  test("an unknown backend is refused (2), nothing is made", () => {
    const box = new Sandbox();
    const error = errorOf(box.call("ADD", box.pod(), box.conf({ ipMasq: true, ipMasqBackend: "pf" })));
    expect(error.code).toBe(2);
    expect(error.msg).toContain(`ipMasqBackend="pf"`);
    expect(box.leftovers()).toEqual(NOTHING);
  });
});
