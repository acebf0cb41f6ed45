import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseVethAlias, vethAlias } from "../../../src/topology/alias.ts";

const KEY = { network: "pods", containerId: "c1", ifname: "eth0" };

describe("vethAlias", () => {
  test("names network, container and interface", () => {
    expect(vethAlias(KEY)).toBe("minicni:pods:c1:eth0");
  });

  test("is none beyond the 255 bytes of IFALIASZ", () => {
    const rest = "minicni:pods::eth0".length;
    expect(vethAlias({ ...KEY, containerId: "c".repeat(255 - rest) })).toHaveLength(255);
    expect(vethAlias({ ...KEY, containerId: "c".repeat(256 - rest) })).toBeNull();
    expect(vethAlias({ ...KEY, containerId: "c".repeat(250 - rest), ifname: "ää" })).toHaveLength(248);
    expect(vethAlias({ ...KEY, containerId: "c".repeat(256 - rest), ifname: "ää" })).toBeNull();
  });
});

describe("parseVethAlias", () => {
  test("finds the attachment again", () => {
    const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$/);
    const ifname = fc.stringMatching(/^[A-Za-z0-9_.@-]{1,13}$/).map((name) => `e${name}`);
    fc.assert(
      fc.property(id, id, ifname, (network, containerId, name) => {
        const key = { network, containerId, ifname: name };
        expect(parseVethAlias(vethAlias(key) ?? "")).toEqual(key);
      }),
    );
  });

  test.each([
    "",
    "minicni",
    "minicni:pods:c1",
    "minicni:pods:c1:",
    "minicni::c1:eth0",
    "minicni:pods::eth0",
    "minicni:pods:c1:eth0:more",
    "minicni:pods:c1:a name",
    "minicni:-pods:c1:eth0",
    "minicni:../x:c1:eth0",
    "calico:pods:c1:eth0",
    "my uplink",
  ])("takes %j for somebody else's", (text) => expect(parseVethAlias(text)).toBeNull());
});
