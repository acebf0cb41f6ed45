import { describe, expect, test } from "bun:test";
import { parseNetConf } from "../../../src/cni/config.ts";
import { configFiles, filesBeforeOurs, formatConflist } from "../../../src/topology/conflist.ts";

describe("the conflist", () => {
  test("is one plugin without ipam, under a name and versions that runtimes take", () => {
    const list = JSON.parse(formatConflist("/run/minicni"));
    expect(list).toEqual({
      cniVersion: "1.0.0",
      cniVersions: ["0.4.0", "1.0.0", "1.1.0"],
      name: "minicni",
      plugins: [{ type: "minicni", capabilities: { portMappings: true, bandwidth: true } }],
    });
  });

  test("names the state folder only where it is another one, and the plugin then finds it there", () => {
    const { plugins, name, cniVersion } = JSON.parse(formatConflist("/tmp/state"));
    expect(parseNetConf({ ...plugins[0], name, cniVersion }).stateDir).toBe("/tmp/state");
    expect(formatConflist("/run/minicni")).not.toContain("stateDir");
  });

  test("is the same text each time", () => {
    expect(formatConflist("/tmp/state")).toBe(formatConflist("/tmp/state"));
  });
});

describe("other files of the folder", () => {
  test("those that libcni reads, in the order of its names", () => {
    const names = [
      "99-loopback.conf",
      "b.conflist",
      "05-cilium.json",
      "10-minicni.conflist.tmp",
      "B.conf",
      "x",
    ];
    expect(configFiles(names)).toEqual(["05-cilium.json", "99-loopback.conf", "B.conf", "b.conflist"]);
  });

  test("those that come first are told, ours and later ones are not", () => {
    const names = [
      "10-minicni.conflist",
      "10-flannel.conflist",
      "87-podman.conflist",
      "09-minicni.conflist",
      "0.tmp",
    ];
    expect(filesBeforeOurs(names)).toEqual(["09-minicni.conflist", "10-flannel.conflist"]);
  });
});
