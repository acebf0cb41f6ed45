import { expect, test } from "bun:test";
import { similarTo } from "../../../../src/entry/output/similar.ts";

const KNOWN = ["agent", "doctor", "status", "plan", "ipam", "trace", "install", "uninstall", "--version"];

test.each([
  ["doctr", ["doctor"]],
  ["dcotor", ["doctor"]],
  ["statsu", ["status"]],
  ["Plan", ["plan"]],
  ["instal", ["install"]],
  ["unistall", ["uninstall"]],
  ["--versoin", ["--version"]],
  ["frobnicate", []],
  ["", []],
])("%j is like %j", (word, similar) => {
  expect(similarTo(word, KNOWN)).toEqual(similar);
});
