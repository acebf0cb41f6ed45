import { describe, expect, test } from "bun:test";
import { completeSbom, parsePackages, type Sbom, sbomFaults } from "../../../installer/sbom.ts";

const LOCK = {
  packages: {
    "": {},
    "node_modules/a": { version: "1.0.0" },
    "node_modules/a/node_modules/@b/c": { version: "2.0.0" },
  },
};
const part = (name: string, version: string, purl: string) => {
  return { "bom-ref": `${name}@${version}`, type: "library", name, version, purl };
};
const NPM: Sbom = {
  bomFormat: "CycloneDX",
  specVersion: "1.5",
  serialNumber: "urn:uuid:34b2bb03-4d4a-4a07-9376-d6459d9d54e6",
  metadata: {
    timestamp: "2026-01-01T00:00:00.000Z",
    component: part("checkout", "0.1.0", "pkg:npm/minicni@0.1.0"),
  },
  components: [part("a", "1.0.0", "pkg:npm/a@1.0.0"), part("@b/c", "2.0.0", "pkg:npm/%40b/c@2.0.0")],
  dependencies: [
    { ref: "checkout@0.1.0", dependsOn: ["a@1.0.0"] },
    { ref: "a@1.0.0", dependsOn: ["@b/c@2.0.0"] },
  ],
};
const CREATED = "2025-01-01T00:00:00.000Z";
const PACKAGES = parsePackages("netbase 6.4 all\nzlib1g 1:1.2.13 arm64\nnetbase 6.4 all\n");
const DISTRO = "debian-12";

describe("completeSbom", () => {
  test("adds the packages of the image, and depends on them", () => {
    const sbom = completeSbom(NPM, "minicni", PACKAGES, DISTRO, CREATED);
    const purl = "pkg:deb/debian/zlib1g@1%3A1.2.13?arch=arm64&distro=debian-12";
    expect(sbom.components.map((each) => each.purl)).toContain(purl);
    expect(sbom.dependencies[0]?.dependsOn).toContain(purl);
    expect(sbomFaults(sbom, LOCK)).toEqual([]);
  });

  test("has what is of all architectures once, as such", () => {
    const { components } = completeSbom(NPM, "minicni", PACKAGES, "debian-13", CREATED);
    const purls = components.map(({ purl }) => purl).filter((purl) => purl.includes("netbase"));
    expect(purls).toEqual(["pkg:deb/debian/netbase@6.4?arch=all&distro=debian-13"]);
  });

  test("does not call the runtime a thing of development", () => {
    const development = { name: "cdx:npm:package:development", value: "true" };
    const named = (name: string) => ({
      ...part(name, "1.0.0", `pkg:npm/${name}@1.0.0`),
      scope: "optional",
      properties: [development],
    });
    const npm = { ...NPM, components: [named("bun"), named("fast-check")] };
    expect(completeSbom(npm, "minicni", [], DISTRO, CREATED).components).toMatchObject([
      { name: "bun", scope: "required", properties: [] },
      { name: "fast-check", scope: "optional", properties: [development] },
    ]);
  });

  test("says the same of the same parts, whenever npm was asked", () => {
    const later = {
      ...NPM,
      serialNumber: "other",
      metadata: { ...NPM.metadata, timestamp: "2027-01-01T00:00:00.000Z" },
    };
    const first = completeSbom(NPM, "minicni", PACKAGES, DISTRO, CREATED);
    expect(completeSbom(later, "minicni", PACKAGES, DISTRO, CREATED)).toEqual(first);
    expect(completeSbom(NPM, "minicni", [], DISTRO, CREATED).serialNumber).not.toBe(first.serialNumber);
  });
});

describe("sbomFaults", () => {
  const good = completeSbom(NPM, "minicni", PACKAGES, DISTRO, CREATED);
  test.each<[string, Sbom]>([
    ["bomFormat", { ...good, bomFormat: "SPDX" }],
    ["specVersion", { ...good, specVersion: "0.9" }],
    ["serialNumber", { ...good, serialNumber: "urn:uuid:1" }],
    ["twice", { ...good, components: [...good.components, ...good.components.slice(0, 1)] }],
    [
      "not listed: pkg:npm/%40b/c@2.0.0",
      { ...good, components: good.components.filter(({ name }) => name !== "@b/c") },
    ],
    ["nothing is called x", { ...good, dependencies: [{ ref: "x" }] }],
  ])("finds a bill that is wrong by %s", (fault, sbom) => {
    expect(sbomFaults(sbom, LOCK).join("\n")).toContain(fault);
  });
});
