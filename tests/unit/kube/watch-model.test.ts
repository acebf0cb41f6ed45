import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import { formatPrefix } from "../../../src/net/prefix.ts";
import type { ApiServer, Misbehaviour } from "../../twin/apiserver.ts";
import { eventually, type Recorder, rawNode } from "./recorder.ts";
import { endScenes, play, type Scene } from "./scene.ts";

afterEach(endScenes);

/** What happens to a server, one thing after another. */
type Happening =
  | { readonly kind: "upsert"; readonly n: number; readonly cidr: number }
  | { readonly kind: "irrelevant"; readonly n: number }
  | { readonly kind: "remove"; readonly n: number }
  | { readonly kind: "cut"; readonly how: "end" | "mid-line" | "reset" }
  | { readonly kind: "compact" | "bookmark" | "rest" }
  | { readonly kind: "send"; readonly text: string }
  | { readonly kind: "behave"; readonly misbehaviour: Misbehaviour };

const n = fc.integer({ min: 1, max: 6 });
const misbehaviour: fc.Arbitrary<Misbehaviour> = fc.record({
  on: fc.constantFrom("list", "watch"),
  times: fc.integer({ min: 1, max: 3 }),
  status: fc.constantFrom(401, 403, 404, 410, 429, 500, 503),
});
const wrongBody: fc.Arbitrary<Misbehaviour> = fc.record({
  on: fc.constantFrom("list", "watch"),
  text: fc.constantFrom(
    "",
    "<html>\n",
    '{"kind":"NodeList","items":[',
    '{"type":"ERROR","object":{"code":410}}\n',
  ),
});
const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("upsert"), n, cidr: fc.integer({ min: 0, max: 3 }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("remove"), n }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("irrelevant"), n }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("cut"), how: fc.constantFrom("end", "mid-line", "reset") }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("compact", "bookmark", "rest") }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("send"), text: fc.constantFrom("{]\n", "[]\n", "\n") }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("behave"), misbehaviour }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("behave"), misbehaviour: wrongBody }) },
);

const withCidr = (n: number, cidr: number, more = {}) =>
  rawNode(n, { spec: { podCIDRs: [`10.${cidr}.${n}.0/24`] }, ...more });

async function happen(server: ApiServer, event: Happening, cidrs: Map<number, number>): Promise<void> {
  switch (event.kind) {
    case "upsert":
      cidrs.set(event.n, event.cidr);
      server.upsert(withCidr(event.n, event.cidr));
      return;
    case "irrelevant": {
      const cidr = cidrs.get(event.n);
      if (cidr !== undefined) server.upsert(withCidr(event.n, cidr, { beat: Math.random() }));
      return;
    }
    case "remove":
      cidrs.delete(event.n);
      server.remove(`node-${event.n}`);
      return;
    case "cut":
      return server.cutWatches(event.how);
    case "compact":
      return server.compact();
    case "bookmark":
      return server.bookmark();
    case "rest":
      return Bun.sleep(20);
    case "send":
      return server.send(event.text);
    case "behave":
      return server.behave(event.misbehaviour);
  }
}

const wanted = (cidrs: Map<number, number>) =>
  JSON.stringify([...cidrs].map(([n, cidr]) => `node-${n} 10.${cidr}.${n}.0/24`).sort());
const heardOf = (heard: Recorder) =>
  JSON.stringify(
    heard.snapshots
      .at(-1)
      ?.nodes.map(({ name, podCidrs }) => `${name} ${podCidrs.map(formatPrefix)}`)
      .sort(),
  );

/** node-0 is there always: so a snapshot without it was made out of a fault. */
async function run(events: readonly Happening[], scene: Scene): Promise<void> {
  const { server, heard } = scene;
  const cidrs = new Map([[0, 0]]);
  await eventually("a first snapshot", () => heard.snapshots.length > 0);
  for (const event of events) await happen(server, event, cidrs);
  server.behaveWell();
  await eventually(`${wanted(cidrs)}, not ${heardOf(heard)}`, () => heardOf(heard) === wanted(cidrs));
  for (const { nodes } of heard.snapshots) expect(nodes.map(({ name }) => name)).toContain("node-0");
}

test("watchNodeApi ends with the server's Nodes, whatever happened on the way", async () => {
  const scene = await play({ nodes: [withCidr(0, 0)] }, { pageSize: 2 });
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 25 }), async (events) => {
      await run(events, scene);
      for (let n = 1; n <= 6; n++) scene.server.remove(`node-${n}`);
    }),
    { numRuns: 40 },
  );
}, 120_000);
