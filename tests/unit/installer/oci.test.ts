import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseDockerfile } from "../../../installer/dockerfile.ts";
import { Layout, tagOf } from "../../../installer/oci.ts";

const ROOT = `${import.meta.dir}/../../..`;
const DOCKERFILE = readFileSync(`${ROOT}/installer/Dockerfile`, "utf8");
const folder = mkdtempSync(`${tmpdir()}/minicni-oci-`);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The bytes of an archive of the same two files, made in the given order and at the given time. */
function pack(name: string, order: readonly string[], time: number, mode: number): Uint8Array {
  const source = `${folder}/${name}`;
  mkdirSync(source);
  for (const file of order) {
    writeFileSync(`${source}/${file}`, `content of ${file}`);
    chmodSync(`${source}/${file}`, mode);
    utimesSync(`${source}/${file}`, time, time);
  }
  const layout = new Layout(`${folder}/${name}-layout`);
  const { copies, ...settings } = parseDockerfile(DOCKERFILE);
  expect(copies).toEqual(["rootfs", "minicni"]);
  const created = "2024-01-01T00:00:00.000Z";
  const image = layout.addImage("amd64", [{ folder: source, paths: ["a", "b"] }], settings, created);
  layout.writeArchive(`${folder}/${name}.tar`, layout.addIndex([image]), "example.test/minicni:1");
  return readFileSync(`${folder}/${name}.tar`);
}

describe("Layout", () => {
  test("makes the same bytes of the same files, whenever and in whatever order they were written", () => {
    const first = pack("first", ["a", "b"], 1_000_000_000, 0o644);
    expect(Buffer.compare(first, pack("second", ["b", "a"], 1_700_000_000, 0o644))).toBe(0);
    expect(Buffer.compare(first, pack("third", ["a", "b"], 1_000_000_000, 0o755))).not.toBe(0);
  });
});

describe("tagOf", () => {
  test.each([
    ["minicni:1", "1"],
    ["registry.test:5000/minicni:v0.1.0-rc.1", "v0.1.0-rc.1"],
  ])("%s has %s", (reference, tag) => {
    expect(tagOf(reference)).toBe(tag);
  });

  test.each(["minicni", "registry.test:5000/minicni", "minicni:", "minicni:a/b"])(
    "%s has none",
    (reference) => {
      expect(() => tagOf(reference)).toThrow("IMAGE must name a tag");
    },
  );
});

describe("parseDockerfile", () => {
  test("reads what the image is started with", () => {
    const { entrypoint, environment, labels } = parseDockerfile(DOCKERFILE);
    expect(entrypoint).toEqual(["/usr/local/bin/minicni"]);
    expect(environment).toEqual(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
    expect(labels["org.opencontainers.image.licenses"]).toBe("Apache-2.0");
  });

  test.each(["RUN make", "COPY a b", 'ENTRYPOINT "sh"', "FROM debian", "USER 1000"])(
    "refuses an instruction it would lose: %s",
    (line) => {
      expect(() => parseDockerfile(`FROM scratch\n${line}\n`)).toThrow();
    },
  );
});
