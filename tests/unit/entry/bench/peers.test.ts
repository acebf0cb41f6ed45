import { describe, expect, test } from "bun:test";
import { findPeers, type Peers } from "../../../../src/entry/bench/peers.ts";
import type { SpawnRequest } from "../../../../src/host/machine.ts";
import { createFakeMachine } from "../../../twin/machine.ts";

/** What `bridge --version` of a folder says; the package that owns Debian's. */
const BUILDS: Readonly<Record<string, string>> = {
  "/usr/lib/cni": "CNI bridge plugin version unknown\nCNI protocol versions supported: 0.1.0, 1.0.0\n",
  "/opt/new": "CNI bridge plugin v1.9.1\nCNI protocol versions supported: 0.1.0, 1.0.0, 1.1.0\n",
  "/opt/same": "CNI bridge plugin v1.9.1\nCNI protocol versions supported: 0.1.0, 1.0.0, 1.1.0\n",
  "/opt/own-build": "CNI bridge plugin version unknown\nCNI protocol versions supported: 1.1.0\n",
};

function find(folders: readonly string[], more: readonly string[]): Promise<Peers[]> {
  const isThere = (path: string) => folders.some((folder) => path.startsWith(`${folder}/`));
  const spawn = async ({ argv }: SpawnRequest) => {
    const [program = "", ...rest] = argv;
    const said = (stdout: string) => ({ exitCode: 0, stdout, stderr: "", timedOut: false });
    if (program !== "dpkg-query") return said(BUILDS[program.replace("/bridge", "")] ?? "");
    if (rest.includes("-W")) return said("1.1.1+ds1-3+b5");
    return rest.includes("/usr/lib/cni/bridge")
      ? said("containernetworking-plugins: /usr/lib/cni/bridge\n")
      : { ...said(""), exitCode: 1, stderr: "dpkg-query: no path found matching pattern\n" };
  };
  return findPeers({ ...createFakeMachine("/nonexistent"), isFile: isThere, spawn }, more);
}

describe("findPeers", () => {
  test("names Debian's plugins by their package, and newer ones by what they say", async () => {
    expect(await find(["/usr/lib/cni", "/opt/new"], ["/opt/new"])).toEqual([
      { folder: "/usr/lib/cni", version: "1.1.1+ds1" },
      { folder: "/opt/new", version: "1.9.1" },
    ]);
  });

  test("names a build that does not know itself by its folder alone", async () => {
    expect(await find(["/opt/own-build"], ["/opt/own-build"])).toEqual([
      { folder: "/opt/own-build", version: "own-build" },
    ]);
  });

  test("takes one folder of each version, and none that lacks the programs", async () => {
    const found = await find(["/opt/new", "/opt/same"], ["/opt/new", "/opt/same", "/opt/empty"]);
    expect(found.map(({ folder }) => folder)).toEqual(["/opt/new"]);
    expect(await find([], ["/opt/empty"])).toEqual([]);
  });
});
