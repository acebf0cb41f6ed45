import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { checkForAdd, parseJson, parseNetConf } from "../../src/cni/config.ts";

const ROOT = `${import.meta.dir}/../..`;
const folder = mkdtempSync(`${tmpdir()}/minicni-install-`);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function install(binary: string) {
  return Bun.spawnSync({ cmd: [`${ROOT}/installer/install-binary`, binary, `${folder}/bin`] });
}

describe("installer/install-binary", () => {
  test("replaces the binary whole, and leaves the same one alone", () => {
    const binary = `${folder}/new`;
    writeFileSync(binary, "#!/bin/sh\nexit 0\n", { mode: 0o755 });
    expect(install(binary).stdout.toString()).toContain("installed");
    expect(install(binary).stdout.toString()).toContain("already");
    expect(readFileSync(`${folder}/bin/minicni`, "utf8")).toBe(readFileSync(binary, "utf8"));
    expect(readdirSync(`${folder}/bin`)).toEqual(["minicni"]);
  });

  test("refuses a binary that is not there, and says what to do", () => {
    const child = install(`${folder}/nothing`);
    expect(child.exitCode).toBe(1);
    expect(child.stderr.toString()).toContain("make build");
  });
});

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
