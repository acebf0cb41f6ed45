import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  hostVethName,
  ifbName,
  interfaceNameFault,
  isBatchSafe,
  isHostVethName,
  isIfbName,
} from "../../../src/net/ifname.ts";

describe("interfaceNameFault", () => {
  test.each(["eth0", "a", "fifteen-chars-x", "net1.100", "eth0@x", "ä"])("accepts %j", (name) => {
    expect(interfaceNameFault(name)).toBeNull();
  });

  test.each([
    ["", "interface name is empty"],
    ["sixteen-chars-xx", "interface name is too long"],
    ["ääääääää", "interface name is too long"],
    [".", "interface name is . or .."],
    ["..", "interface name is . or .."],
    ["a/b", "interface name contains / or : or whitespace characters"],
    ["a:b", "interface name contains / or : or whitespace characters"],
    ["a b", "interface name contains / or : or whitespace characters"],
    ["a\tb", "interface name contains / or : or whitespace characters"],
    ["eth0\n", "interface name contains / or : or whitespace characters"],
  ])("refuses %j: %s", (name, fault) => {
    expect(interfaceNameFault(name)).toBe(fault);
  });
});

describe("isBatchSafe", () => {
  test.each(["eth0", "10.0.0.1/24", "fd00::1/64", "/var/run/netns/x", "0a:58:00:00:00:01"])(
    "accepts %j",
    (word) => expect(isBatchSafe(word)).toBe(true),
  );

  test.each(["", "a b", "a#b", "#", "-n", "a'b", 'a"b', "a\\b", "a\nb", "a;b", "$(x)", "ä"])(
    "refuses %j, which ip -batch would misread",
    (word) => expect(isBatchSafe(word)).toBe(false),
  );
});

describe("hostVethName", () => {
  test("is the same on every call, ours, and a name the kernel and ip -batch take", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (network, container, ifname) => {
        const name = hostVethName(network, container, ifname);
        expect(name).toBe(hostVethName(network, container, ifname));
        expect(name).toMatch(/^mcni[0-9a-f]{11}$/);
        expect(interfaceNameFault(name)).toBeNull();
        expect(isBatchSafe(name)).toBe(true);
      }),
    );
  });

  test("differs by network, by container and by interface", () => {
    const names = [
      hostVethName("a", "c", "eth0"),
      hostVethName("b", "c", "eth0"),
      hostVethName("a", "d", "eth0"),
      hostVethName("a", "c", "eth1"),
    ];
    expect(new Set(names).size).toBe(4);
  });

  test("has no collision among 20,000 attachments", () => {
    const names = Array.from({ length: 20_000 }, (_, index) => hostVethName("pods", `c${index}`, "eth0"));
    expect(new Set(names).size).toBe(20_000);
  });
});

test("an ifb's name is ours, no host-side veth's, and a name the kernel takes", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (network, container, ifname) => {
      const name = ifbName(network, container, ifname);
      expect(name).toMatch(/^mcnii[0-9a-f]{10}$/);
      expect([isIfbName(name), isHostVethName(name), interfaceNameFault(name)]).toEqual([true, false, null]);
      expect(isIfbName(hostVethName(network, container, ifname))).toBe(false);
    }),
  );
  expect(["mcnii", "mcnii63935ca0b", "ifb63935ca0bad", "mcnii63935ca0baa"].some(isIfbName)).toBe(false);
});
