import { describe, expect, test } from "bun:test";
import {
  describeConfig,
  isOldConfig,
  isOwnConflist,
  namesOurPlugin,
  parseOldConfig,
} from "../../../src/topology/conf-file.ts";
import { formatConflist } from "../../../src/topology/conflist.ts";

const json = JSON.stringify;
const OLD = {
  cniVersion: "0.1.0",
  name: "minicni",
  type: "minicni",
  bridge: "minicni0",
  mtu: 1500,
  subnet: "10.244.1.0/24",
};
const NO_CONFIGS: readonly (string | null)[] = [null, "", "{", "[]", "null", "7", '{"plugins":[7]}'];

describe("a configuration", () => {
  test.each<[string, string | null]>([
    [json({ name: "n", type: "bridge" }), 'network "n", plugin bridge'],
    [json({ name: "n", plugins: [{ type: "a" }, { type: "b" }] }), 'network "n", plugins a, b'],
    [json({ type: "bridge" }), "plugin bridge"],
    [json({ name: "n", plugins: [] }), null],
    [json({ name: "n", plugins: [{ type: "a" }, {}] }), null],
  ])("%s is described as %s", (text, words) => {
    expect(describeConfig(text)).toBe(words);
  });

  test.each(NO_CONFIGS.map((text) => [text]))("%j is none", (text) => {
    expect(describeConfig(text)).toBeNull();
    expect([isOwnConflist(text), namesOurPlugin(text), isOldConfig(text)]).toEqual([false, false, false]);
  });
});

describe("ours", () => {
  test("is what the agent writes, for whatever state folder", () => {
    for (const folder of ["/run/minicni", "/tmp/x"]) expect(isOwnConflist(formatConflist(folder))).toBe(true);
  });

  test.each([
    [{ name: "minicni", plugins: [{ type: "minicni" }, { type: "portmap" }] }],
    [{ name: "other", plugins: [{ type: "minicni" }] }],
    [{ name: "minicni", type: "minicni" }],
    [{ name: "minicni", plugins: [] }],
    [{ name: "minicni", plugins: [{ type: "minicni", ipam: { ranges: [[{ subnet: "10.1.0.0/16" }]] } }] }],
    [{ name: "minicni", plugins: [{ type: "minicni" }, { type: "minicni" }] }],
  ])("is not %j", (conf) => {
    expect(isOwnConflist(json(conf))).toBe(false);
  });

  test("a plugin among others is one that is called", () => {
    expect(namesOurPlugin(json({ plugins: [{ type: "a" }, { type: "minicni" }] }))).toBe(true);
    expect(namesOurPlugin(json({ type: "bridge", name: "minicni" }))).toBe(false);
  });
});

describe("Go minicni's", () => {
  test("tells its subnet, its bridge, and what differs from its manifest", () => {
    expect(parseOldConfig(json(OLD))).toEqual({ subnet: "10.244.1.0/24", bridge: "minicni0", others: [] });
    const changed = { ...OLD, bridge: "br1", mtu: 1400, extra: [1] };
    expect(parseOldConfig(json(changed))).toEqual({
      subnet: "10.244.1.0/24",
      bridge: "br1",
      others: ['bridge="br1"', "mtu=1400", "extra=[1]"],
    });
    expect(parseOldConfig(json({ type: "minicni", subnet: "10.1.0.0/16" }))?.bridge).toBe("minicni0");
  });

  test.each([
    [{ ...OLD, type: "bridge" }],
    [{ ...OLD, subnet: undefined }],
    [{ ...OLD, subnet: 7 }],
    [{ ...OLD, ipam: {} }],
    [{ ...OLD, plugins: [] }],
  ])("is not %j", (conf) => {
    expect(parseOldConfig(json(conf))).toBeNull();
  });
});
