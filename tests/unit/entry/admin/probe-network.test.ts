import { describe, expect, test } from "bun:test";
import { chooseNetwork } from "../../../../src/entry/admin/probe-network.ts";

const OURS = { name: "net", cniVersion: "1.0.0", cniVersions: ["0.4.0", "1.0.0", "1.1.0", "9.0.0"] };
const LIST = JSON.stringify({ ...OURS, plugins: [{ type: "minicni", mtu: 1400 }, { type: "portmap" }] });

/** The choice among the files of a folder. */
function choose(files: Readonly<Record<string, string>>, file: string | null = null) {
  const host = {
    listFolder: () => Object.keys(files),
    readFile: (path: string) => files[path.replace("/net.d/", "")] ?? null,
  };
  return chooseNetwork({ file, confDir: "/net.d" }, host);
}

describe("the network of a probe", () => {
  test("is that of the first file that a runtime can read, in the newest version that both speak", () => {
    expect(
      choose({ "20-b.conf": LIST, "10-a.conflist": LIST, "05-note.txt": "x", "01-bad.conf": "{" }),
    ).toEqual({
      file: "/net.d/10-a.conflist",
      name: "net",
      version: "1.1.0",
      conf: { type: "minicni", mtu: 1400, cniVersion: "1.1.0", name: "net" },
      others: ["portmap"],
    });
  });

  test("may be the older form of one plugin, and of any version", () => {
    expect(choose({ "a.conf": '{"name": "n", "type": "minicni"}' })).toMatchObject({
      version: "0.1.0",
      others: [],
    });
  });

  test.each([
    [{}, "/net.d has no configuration: runtimes make no pods"],
    [{ "a.conf": "{" }, "/net.d has no configuration that can be read (a.conf): runtimes make no pods"],
    [
      { "a.conf": "[]", "b.conf": "{}" },
      "/net.d has no configuration that can be read (a.conf, b.conf): runtimes make no pods",
    ],
    [
      { "a.conf": '{"name": "n", "type": "flannel"}', "b.conflist": LIST },
      "/net.d/a.conf does not call minicni: its plugins are flannel, and a runtime takes this file",
    ],
  ])("of %j is refused", (files, message) => {
    expect(() => choose(files)).toThrow(message);
  });

  test("by name: a file that is not there is refused", () => {
    expect(() => choose({}, "/x.conf")).toThrow("there is no file /x.conf");
  });
});
