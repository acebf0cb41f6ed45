import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { parseDocuments, schemaFaults } from "./manifest-schema.ts";

const read = (path: string): string => readFileSync(`${import.meta.dir}/../../${path}`, "utf8");
const FLAT = read("k8s/minicni.yaml");

describe("the schemas of Kubernetes", () => {
  test.each(["k8s/minicni.yaml", "k8s/test-pods.yaml"])("have %s, every document of it", (path) => {
    const documents = parseDocuments(read(path));
    expect(documents.length).toBeGreaterThan(4);
    expect(documents.flatMap(schemaFaults)).toEqual([]);
  });

  test.each([
    [
      "a misspelled field",
      "terminationGracePeriodSeconds:",
      "terminationGracePeriod:",
      "terminationGracePeriod",
    ],
    [
      "a field a level too high",
      "    spec:\n      nodeSel",
      "    hostPID: true\n    spec:\n      nodeSel",
      "hostPID",
    ],
    ["a misspelled field of a list's item", "mountPropagation:", "mountPropagations:", "mountPropagations"],
    ["a word in place of a truth value", "hostNetwork: true", 'hostNetwork: "true"', "hostNetwork"],
    ["a number in place of a text", 'MINICNI_VNI: ""', "MINICNI_VNI: 157", "MINICNI_VNI"],
    ["a kind of volume that there is not", "type: FileOrCreate", "type: FileOrMake", "hostPath/type"],
    ["a container without a name", "- name: install\n          image:", "- image:", "name"],
  ])("refuse %s", (_what, from, to, told) => {
    const text = FLAT.replace(from, to);
    expect(text).not.toBe(FLAT);
    expect(parseDocuments(text).flatMap(schemaFaults).join("\n")).toContain(told);
  });
});
