import { expect, test } from "bun:test";
import { describeMtuFault } from "../../../../src/entry/agent/mtu.ts";
import { prefix } from "../../../twin/words.ts";

const DUAL = [prefix("10.244.1.0/24"), prefix("fd44:0:0:1::/64")];

test.each([
  [1280, 0, DUAL],
  [1280, 1280, DUAL],
  [1200, 1200, [prefix("10.244.1.0/24")]],
  [68, 0, []],
])("%p bytes (chosen: %p) do", (mtu, chosen, podCidrs) => {
  expect(describeMtuFault(mtu, chosen, podCidrs)).toBeNull();
});

test.each([
  [1279, 1279, "the MTU of pods is 1279 (by MINICNI_MTU or --mtu)", "set it to 1280 or more, or to 0"],
  [68, 68, "the MTU of pods is 68 (by MINICNI_MTU or --mtu)", "set it to 1280 or more, or to 0"],
  [
    1230,
    0,
    "the MTU of pods is 1230 (detected by the link",
    "raise the MTU of that link by 50 bytes or more",
  ],
])("%p bytes (chosen: %p) are too few for IPv6, with what to do", (mtu, chosen, what, way) => {
  const fault = describeMtuFault(mtu, chosen, DUAL);
  for (const words of [what, "fd44:0:0:1::/64, needs at least 1280 (RFC 8200)", way])
    expect(fault).toContain(words);
});
