import { describe, expect, test } from "bun:test";
import {
  addressOfFile,
  formatReservation,
  isFromAnotherBoot,
  isHeldBy,
  parseReservation,
  reservationFile,
} from "../../../src/ipam/reservation.ts";
import { address } from "../../twin/words.ts";

describe("a reservation file", () => {
  test("is written as host-local writes it", () => {
    expect(formatReservation({ containerId: "c1", ifname: "eth0" })).toBe("c1\r\neth0");
  });

  test.each([
    ["c1\r\neth0", "c1", "eth0"],
    ["c1\neth0\n", "c1", "eth0"],
    ["  c1\r\neth0  ", "c1", "eth0"],
    ["c1", "c1", ""],
    ["c1\r\n", "c1", ""],
  ])("%j names its owner", (text, containerId, ifname) => {
    expect(parseReservation(text)).toEqual({ containerId, ifname });
  });

  test.each(["", "\r\n", "\r\neth0 x", "\0\0\0\0", "../etc", " "])("%j is torn: it names nobody", (text) => {
    expect(parseReservation(text)).toBeNull();
  });

  test.each([
    ["10.0.0.1", "10.0.0.1"],
    ["FD00::0:1", "fd00::1"],
  ])("of %s is called %s", (text, name) => {
    expect(reservationFile(address(text))).toBe(name);
    expect(addressOfFile(name)).toEqual(address(text));
  });

  test.each(["lock", "last_reserved_ip.0", ".pool.0", ".boot", ".claim", "10.0.0.1.tmp"])(
    "is not what %s is",
    (name) => expect(addressOfFile(name)).toBeNull(),
  );
});

describe("isHeldBy", () => {
  const key = { network: "pods", containerId: "c1", ifname: "eth0" };

  test.each([
    [{ containerId: "c1", ifname: "eth0" }, true],
    [{ containerId: "c1", ifname: "" }, true],
    [{ containerId: "c1", ifname: "eth1" }, false],
    [{ containerId: "c10", ifname: "eth0" }, false],
  ])("%j: %j", (owner, isHeld) => {
    expect(isHeldBy(owner, key)).toBe(isHeld);
  });
});

describe("isFromAnotherBoot", () => {
  test.each([
    ["old", 99, true, "another boot ID and older than this boot"],
    ["old", 100, false, "made at this very boot, by another plugin"],
    ["old", 101, false, "made since, by another plugin"],
    ["now", 99, false, "made before the clock was set right"],
    ["now", 101, false, "this boot"],
    [null, 99, false, "a store that never saw us: adopted, not condemned"],
    [null, 101, false, "a new store"],
  ])("store of boot %j, changed at %d: %j (%s)", (storeBootId, changedMs, isStale) => {
    expect(isFromAnotherBoot({ storeBootId, bootId: "now", changedMs, bootTimeMs: 100 })).toBe(isStale);
  });
});
