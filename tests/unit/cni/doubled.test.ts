import { expect, test } from "bun:test";
import { findDoubled } from "../../../src/cni/doubled.ts";

const both = { portMappings: true, bandwidth: true };
const listOf = (...plugins: object[]) => JSON.stringify({ name: "pods", plugins });

test("a capability that ours and the reference's plugin declare is doubled, whatever stands between", () => {
  const text = listOf(
    { type: "minicni", capabilities: both },
    { type: "firewall" },
    { type: "portmap", capabilities: { portMappings: true } },
  );
  expect(findDoubled(text)).toEqual([{ capability: "portMappings", plugin: "portmap" }]);
  expect(findDoubled(text, "pods")).toHaveLength(1);
  expect(findDoubled(text, "others")).toEqual([]);
});

test("keys of a plugin are found in any case, as Go finds them", () => {
  const text = `{"name":"pods","plugins":[{"Type":"minicni","Capabilities":{"Bandwidth":true}},
    {"type":"bandwidth","CAPABILITIES":{"bandwidth":true}}]}`;
  expect(findDoubled(text)).toEqual([{ capability: "bandwidth", plugin: "bandwidth" }]);
});

test.each([
  ["only the other one declares it", listOf({ type: "minicni" }, { type: "portmap", capabilities: both })],
  ["only ours does", listOf({ type: "minicni", capabilities: both }, { type: "portmap" })],
  [
    "the other one says no",
    listOf(
      { type: "minicni", capabilities: both },
      { type: "portmap", capabilities: { portMappings: false } },
    ),
  ],
  [
    "another main plugin has both behind it",
    listOf({ type: "bridge", capabilities: both }, { type: "portmap", capabilities: both }),
  ],
  ["it is no list", JSON.stringify({ name: "pods", type: "minicni", capabilities: both })],
  ["it is no JSON", "{"],
  ["it is nothing", "null"],
  ["its plugins are nothing", JSON.stringify({ name: "pods", plugins: [null, 1, "portmap"] })],
])("nothing is doubled when %s", (_what, text) => {
  expect(findDoubled(text)).toEqual([]);
});
