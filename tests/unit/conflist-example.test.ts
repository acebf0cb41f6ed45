import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { checkForAdd, parseJson, parseNetConf } from "../../src/cni/config.ts";

const ROOT = `${import.meta.dir}/../..`;

describe("k8s/10-minicni.conflist", () => {
  test("holds one plugin configuration that ADD takes, as a runtime derives it", () => {
    const list: { cniVersion: string; name: string; plugins: Record<string, unknown>[] } = JSON.parse(
      readFileSync(`${ROOT}/k8s/10-minicni.conflist`, "utf8"),
    );
    const [plugin] = list.plugins;
    const derived = JSON.stringify({ ...plugin, cniVersion: list.cniVersion, name: list.name });
    const conf = parseNetConf(parseJson(derived));
    expect(() => checkForAdd(conf)).not.toThrow();
    expect(conf.network).toBe("minicni");
  });
});
