import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatPlan } from "../../../src/plan/format.ts";
import { parseVlanTrunk, portVlanSteps, usesVlans } from "../../../src/topology/vlan.ts";
import { thrown } from "../../twin/words.ts";

describe("parseVlanTrunk", () => {
  test("sorts IDs and ranges, and names each once", () => {
    expect(
      parseVlanTrunk([{ id: 30 }, { minID: 9, maxID: 11 }, { id: 10 }, { id: 4094 }, { id: 1 }]),
    ).toEqual([1, 9, 10, 11, 30, 4094]);
  });

  test("takes an item with a range and an ID for both", () => {
    expect(parseVlanTrunk([{ minID: 100, maxID: 101, id: 5 }])).toEqual([5, 100, 101]);
  });

  test.each([[[]], [[{}]], [[{ minID: null, maxID: null, id: null }]]])("finds none in %j", (items) => {
    expect(parseVlanTrunk(items)).toEqual([]);
  });

  const missing = "minID and maxID should be configured simultaneously,";
  test.each([
    [{ minID: 0, maxID: 5 }, "incorrect trunk minID parameter"],
    [{ minID: 4095, maxID: 4095 }, "incorrect trunk minID parameter"],
    [{ minID: -1, maxID: 0 }, "incorrect trunk minID parameter"],
    [{ minID: 1.5, maxID: 2 }, "incorrect trunk minID parameter"],
    [{ minID: 5, maxID: 0 }, "incorrect trunk maxID parameter"],
    [{ minID: 5, maxID: 4095 }, "incorrect trunk maxID parameter"],
    [{ minID: 6, maxID: 5 }, "minID is greater than maxID in trunk parameter"],
    [{ maxID: 5 }, `${missing} minID is missing`],
    [{ minID: null, maxID: 5, id: 7 }, `${missing} minID is missing`],
    [{ minID: 5 }, `${missing} maxID is missing`],
    [{ id: 0 }, "incorrect trunk id parameter"],
    [{ id: 4095 }, "incorrect trunk id parameter"],
    [{ minID: 1, maxID: 2, id: -7 }, "incorrect trunk id parameter"],
  ])("refuses %j: %s", (item, message) => {
    expect(thrown(() => parseVlanTrunk([{ id: 1 }, item]))).toMatchObject({ name: "VlanError", message });
  });

  test("holds exactly what the items name", () => {
    const vid = fc.integer({ min: 1, max: 4094 });
    const item = fc.oneof(
      vid.map((id) => ({ id })),
      fc.tuple(vid, vid).map(([a, b]) => ({ minID: Math.min(a, b), maxID: Math.max(a, b) })),
    );
    fc.assert(
      fc.property(fc.array(item, { maxLength: 5 }), vid, (items, probe) => {
        const isNamed = items.some((one) =>
          "id" in one ? one.id === probe : one.minID <= probe && probe <= one.maxID,
        );
        const found = parseVlanTrunk(items);
        expect(found.includes(probe)).toBe(isNamed);
        expect(found).toEqual([...new Set(found)].sort((a, b) => a - b));
      }),
    );
  });
});

describe("portVlanSteps", () => {
  const text = (vlan: number | null, trunk: number[], preserveDefaultVlan = false) =>
    formatPlan(portVlanSteps("a", { vlan, trunk, preserveDefaultVlan }));

  test("of a port with all there is, whole", () => {
    expect(text(10, [20, 21])).toBe(`# out of the VLAN of ports that have none of their own
bridge vlan del vid 1 dev a
# the VLAN of what comes and goes untagged
bridge vlan add vid 10 dev a pvid untagged
# the VLANs of the trunk
bridge vlan add vid 20 dev a
bridge vlan add vid 21 dev a
`);
  });

  test("of a port without VLANs is nothing, whatever is said about the default", () => {
    expect([text(null, []), text(null, [], true)]).toEqual(Array(2).fill("# nothing to change\n"));
  });

  test("removes the default before it is wished for: afterwards it is there, with the flags of the wish", () => {
    expect(text(1, []).match(/^bridge.*/gm)).toEqual([
      "bridge vlan del vid 1 dev a",
      "bridge vlan add vid 1 dev a pvid untagged",
    ]);
    expect(text(null, [1]).match(/^bridge.*/gm)).toEqual([
      "bridge vlan del vid 1 dev a",
      "bridge vlan add vid 1 dev a pvid untagged",
    ]);
  });

  test("of a trunk alone keeps the default VLAN for what is untagged", () => {
    expect(text(null, [20]).match(/^bridge.*/gm)).toEqual([
      "bridge vlan del vid 1 dev a",
      "bridge vlan add vid 1 dev a pvid untagged",
      "bridge vlan add vid 20 dev a",
    ]);
  });

  test("does not make the untagged VLAN tagged again when the trunk names it too", () => {
    expect(text(10, [9, 10, 11], true).match(/^bridge.*/gm)).toEqual([
      "bridge vlan add vid 10 dev a pvid untagged",
      "bridge vlan add vid 9 dev a",
      "bridge vlan add vid 11 dev a",
    ]);
  });
});

test("usesVlans is true for either kind", () => {
  const wishes = [
    { vlan: null, trunk: [] },
    { vlan: 10, trunk: [] },
    { vlan: null, trunk: [20] },
  ];
  expect(wishes.map(usesVlans)).toEqual([false, true, true]);
});
