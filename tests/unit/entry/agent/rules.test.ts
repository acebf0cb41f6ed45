import { beforeEach, describe, expect, test } from "bun:test";
import { createRules, type Rules } from "../../../../src/entry/agent/rules.ts";
import { ExecuteError } from "../../../../src/host/errors.ts";
import type { SpawnRequest } from "../../../../src/host/machine.ts";
import { formatStep } from "../../../../src/plan/format.ts";
import type { NodeRulesWish } from "../../../../src/topology/node-rules.ts";
import { FakeIptables } from "../../../twin/iptables.ts";
import { createFakeMachine, type FakeMachine } from "../../../twin/machine.ts";
import { address, prefix } from "../../../twin/words.ts";

const WISH: NodeRulesWish = {
  podCidrs: [prefix("10.244.1.0/24"), prefix("fd00:1::/64")],
  clusterCidrs: [prefix("10.244.0.0/16"), prefix("fd00::/16")],
  nodeAddresses: [address("192.0.2.1")],
  nonMasqueradeCidrs: [],
  masquerade: true,
  masqueradeNodes: false,
  randomFully: true,
};
const IPV4_ONLY: NodeRulesWish = { ...WISH, podCidrs: WISH.podCidrs.slice(0, 1) };

let machine: FakeMachine;
let tables: FakeIptables;
let clockMs: number;
let rules: Rules;
let restores: number;
/** Called before each restore. */
let before: () => void;

beforeEach(() => {
  machine = createFakeMachine("/nowhere");
  tables = new FakeIptables();
  clockMs = 1000;
  restores = 0;
  before = () => undefined;
  machine.answer = (request: SpawnRequest) => tables.answer(request);
  rules = createRules(
    {
      ...machine,
      spawn: (request) => machine.spawn(request),
      execute: async (plan) => {
        restores += plan.length;
        before();
        const [step] = plan;
        if (step === undefined) return;
        if (machine.failOn(step)) throw new ExecuteError(step, formatStep(step), "no such thing", "a hint");
        try {
          tables.execute(plan);
        } catch (error) {
          throw new ExecuteError(step, formatStep(step), String(error), "a hint");
        }
      },
    },
    () => clockMs,
  );
});

const forward = (place = "4 nft") => tables.rules(place, "filter", "FORWARD");
const chain = (place = "4 nft") => tables.rules(place, "filter", "MINICNI-FORWARD");
const whats = async (wish = WISH) => (await rules.resync(wish)).changes.map(({ what }) => what);

describe("a pass", () => {
  test("makes the rules of both families, and the next one only looks", async () => {
    const first = await rules.resync(WISH);
    expect(first).toMatchObject({ variant: "nft", faults: [] });
    expect(first.plan).toHaveLength(2);
    expect(first.changes).toHaveLength(8);
    expect(first.changes.every(({ isRepair }) => !isRepair)).toBe(true);
    expect(forward()).toEqual(["-j MINICNI-FORWARD"]);
    expect(tables.rules("6 nft", "nat", "MINICNI-POSTROUTING")?.at(-1)).toBe(
      "-s fd00:1::/64 -j MASQUERADE --random-fully",
    );
    machine.spawned.length = 0;
    expect(await rules.resync(WISH)).toEqual({
      changes: [],
      faults: [],
      warnings: [],
      variant: "nft",
      plan: [],
    });
    expect(restores).toBe(2);
    expect(machine.spawned).toHaveLength(8);
    expect(machine.spawned.filter((line) => !line.includes(" -S "))).toEqual([]);
  });

  test("repairs what somebody damaged, and says so", async () => {
    await rules.resync(IPV4_ONLY);
    tables.flush();
    const { changes } = await rules.resync(IPV4_ONLY);
    expect(changes.map(({ what, isRepair }) => [what, isRepair])).toEqual([
      ["missing chain", true],
      ["missing jump", true],
      ["missing chain", true],
      ["missing jump", true],
    ]);
    chain()?.pop();
    expect(await whats(IPV4_ONLY)).toEqual(["rules differ"]);
    forward()?.pop();
    expect(await whats(IPV4_ONLY)).toEqual(["missing jump"]);
  });

  test("follows another wish, which is no repair", async () => {
    await rules.resync(IPV4_ONLY);
    const { changes } = await rules.resync({ ...IPV4_ONLY, nonMasqueradeCidrs: [prefix("172.16.0.0/12")] });
    expect(changes).toEqual([
      { family: 4, chain: "MINICNI-POSTROUTING", what: "rules differ", isRepair: false },
    ]);
    expect(await whats({ ...IPV4_ONLY, masquerade: false })).toEqual(["unwanted chain"]);
    expect(tables.rules("4 nft", "nat", "POSTROUTING")).toEqual([]);
  });

  test("leaves all as it is while no pod CIDR is known", async () => {
    await rules.resync(WISH);
    expect(await rules.resync({ ...WISH, podCidrs: [] })).toMatchObject({ changes: [], faults: [] });
    expect(forward()).toEqual(["-j MINICNI-FORWARD"]);
  });

  test("changes nothing in a dry run, and tells the plan", async () => {
    const found = await rules.resync(WISH, { isDryRun: true });
    expect(found.plan).toHaveLength(2);
    expect(forward()).toEqual([]);
    expect(restores).toBe(0);
  });

  test("tries once more when somebody was between the look and the change", async () => {
    await rules.resync(IPV4_ONLY);
    forward()?.push("-j MINICNI-FORWARD");
    before = () => {
      if (restores === 2) forward()?.splice(0, 2);
    };
    expect(await rules.resync(IPV4_ONLY)).toMatchObject({ faults: [] });
    expect(forward()).toEqual(["-j MINICNI-FORWARD"]);
  });

  test("one family's failure is told with its command and keeps nothing of the other", async () => {
    machine.failOn = (step) => step.op === "rules.restore" && step.family === 4;
    const { faults, plan } = await rules.resync(WISH);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain("iptables-nft-restore --noflush -w 10");
    expect(faults[0]).toContain("no such thing");
    expect(plan).toHaveLength(1);
    expect(chain("6 nft")).not.toBeNull();
  });

  test("one table that can't be read keeps nothing of the other", async () => {
    machine.answer = (request) =>
      request.argv.includes("nat") && !request.argv.includes("--test")
        ? { exitCode: 3, stderr: "can't initialize iptables table `nat'" }
        : tables.answer(request);
    const { faults } = await rules.resync(IPV4_ONLY);
    expect(faults.join("\n")).toContain("can't initialize iptables table `nat'");
    expect(forward()).toEqual(["-j MINICNI-FORWARD"]);
  });

  test("without an answer about --random-fully keeps filter, and leaves nat for the next pass", async () => {
    let isLocked = true;
    machine.answer = (request) =>
      isLocked && request.argv.includes("--test")
        ? { exitCode: 4, stderr: "Another app is currently holding the xtables lock" }
        : tables.answer(request);
    expect((await rules.resync(IPV4_ONLY)).faults.join("\n")).toContain("holding the xtables lock");
    expect(forward()).toEqual(["-j MINICNI-FORWARD"]);
    expect(tables.rules("4 nft", "nat", "POSTROUTING")).toEqual([]);
    isLocked = false;
    expect(await rules.resync(IPV4_ONLY)).toMatchObject({ faults: [] });
    expect(tables.rules("4 nft", "nat", "POSTROUTING")).toEqual(["-j MINICNI-POSTROUTING"]);
  });

  test("takes rules that are printed in other words for what it wrote, until they change", async () => {
    const inOtherWords = (request: SpawnRequest) => {
      const said = tables.answer(request);
      return { ...said, stdout: said.stdout?.replaceAll("-j ACCEPT", "-m comment -j ACCEPT") ?? "" };
    };
    machine.answer = inOtherWords;
    await rules.resync(IPV4_ONLY);
    expect(await whats(IPV4_ONLY)).toEqual([]);
    chain()?.pop();
    expect(await whats(IPV4_ONLY)).toEqual(["rules differ"]);
  });

  test("tells when rules were lost on the way into the kernel", async () => {
    machine.answer = (request) => {
      const said = tables.answer(request);
      return { ...said, stdout: said.stdout?.replace(/.*-j ACCEPT\n/, "") ?? "" };
    };
    expect((await rules.resync(IPV4_ONLY)).faults).toEqual([
      "MINICNI-FORWARD (IPv4) is not as it was just written: another program changes it",
    ]);
  });
});

describe("a jump behind the refusals of another program", () => {
  const insist = () => forward()?.unshift("-j DROP");

  test("is moved at once, then seldom, and is told meanwhile", async () => {
    await rules.resync(IPV4_ONLY);
    insist();
    expect(await whats(IPV4_ONLY)).toEqual(["jump behind a refusal"]);
    insist();
    clockMs += 5000;
    const waiting = await rules.resync(IPV4_ONLY);
    expect(waiting.changes).toEqual([]);
    expect(waiting.faults[0]).toContain("keeps a DROP or REJECT ahead of the jump to MINICNI-FORWARD");
    clockMs += 25_000;
    expect(await whats(IPV4_ONLY)).toEqual(["jump behind a refusal"]);
    expect(forward()).toEqual(["-j MINICNI-FORWARD", "-j DROP", "-j DROP"]);
  });

  test("comes back at once when it is missing", async () => {
    await rules.resync(IPV4_ONLY);
    for (let round = 0; round < 3; round++) {
      forward()?.splice(0, 9, "-j DROP");
      expect(await whats(IPV4_ONLY)).toEqual(["missing jump"]);
    }
  });
});
