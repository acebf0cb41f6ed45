import { beforeEach, expect, test } from "bun:test";
import { HostError } from "../../../../src/host/errors.ts";
import { thrown } from "../../../twin/words.ts";

type Engines = typeof import("../../../../src/host/engine.ts");

let copies = 0;
let engines: Engines;
const lines: string[] = [];
const log = (line: string) => lines.push(line);
let probes = 0;
const good = () => {
  probes++;
};
const bad = () => {
  probes++;
  throw new HostError("can't open a netlink socket", "allow it");
};

// What was found is kept for the whole process: each test has a module of its own.
beforeEach(async () => {
  engines = await import(`../../../../src/host/engine.ts?copy=${++copies}`);
  lines.length = 0;
  probes = 0;
});

test("auto is netlink where there is one, which is asked once", () => {
  expect(engines.chooseEngine("auto", log, good)).toBe("netlink");
  expect(engines.chooseEngine("auto", log, bad)).toBe("netlink");
  expect([probes, lines]).toEqual([1, []]);
});

test("auto is iproute2 where there is none, and says why, once", () => {
  for (let round = 0; round < 3; round++) expect(engines.chooseEngine("auto", log, bad)).toBe("iproute2");
  expect(engines.chooseEngine("auto", log, good)).toBe("iproute2");
  expect(probes).toBe(1);
  expect(lines).toEqual([
    "executor auto: iproute2, since there is no netlink here: can't open a netlink socket",
  ]);
});

test("netlink is told where there is none, with what to do, each time", () => {
  for (let round = 0; round < 2; round++) {
    expect(thrown(() => engines.chooseEngine("netlink", log, bad))).toMatchObject({
      name: "HostError",
      message: "executor netlink: can't open a netlink socket",
      hint: "use executor auto, or iproute2",
    });
  }
  expect(lines).toEqual([]);
});

test("netlink, once it is there, is taken without a word", () => {
  expect(engines.chooseEngine("netlink", log, good)).toBe("netlink");
  expect(lines).toEqual([]);
});

test("iproute2 is not looked into", () => {
  expect(engines.chooseEngine("iproute2", log, bad)).toBe("iproute2");
  expect([probes, lines]).toEqual([0, []]);
});

test("this machine has netlink", () => {
  expect(engines.chooseEngine("netlink", log)).toBe("netlink");
});
