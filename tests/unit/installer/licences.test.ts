import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { describeLicences } from "../../../installer/licences.ts";
import { ROOT } from "../../../installer/project.ts";

const described = describeLicences(ROOT, JSON.parse(readFileSync(`${ROOT}/package-lock.json`, "utf8")));

test("each package that the product may hold is there with its licence's text", () => {
  const { dependencies } = JSON.parse(readFileSync(`${ROOT}/package.json`, "utf8"));
  for (const [name, version] of Object.entries(dependencies))
    expect(described).toContain(`${name} ${version}: `);
  expect(described).toMatch(/commander \S+: MIT\n\n\(The MIT License\)\n\nCopyright/);
  expect(described).toMatch(/\nbun \S+: MIT\n/);
  expect(described).toMatch(/\nassemblyscript \S+: Apache-2\.0\n/);
});

test("what only develops it is not", () => {
  for (const name of [
    "fast-check",
    "@biomejs/biome",
    "kubernetes-models",
    "typescript",
    "@oven/bun-darwin-x64",
  ])
    expect(described).not.toContain(`\n${name} `);
});

test("one that brings no text is there by its licence's name", () => {
  expect(described).toMatch(/\nip-cidr \S+: MIT\n\n\(The package has no file/);
});
