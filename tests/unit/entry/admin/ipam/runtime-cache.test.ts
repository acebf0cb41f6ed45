import { expect, test } from "bun:test";
import { isCached, readRuntimeCache } from "../../../../../src/entry/admin/ipam/runtime-cache.ts";

const FILES: Readonly<Record<string, string>> = {
  "minicni-abc-eth0": JSON.stringify({
    kind: "cniCacheV1",
    containerId: "abc",
    config: "e30=",
    ifName: "eth0",
    networkName: "minicni",
    cniArgs: [
      ["IgnoreUnknown", "1"],
      ["K8S_POD_NAMESPACE", "shop"],
      ["K8S_POD_NAME", "web-0"],
    ],
    result: {
      cniVersion: "1.0.0",
      interfaces: [{ name: "minicni0" }, { name: "eth0", sandbox: "/run/netns/cni-1" }],
    },
  }),
  "minicni-def-eth0": JSON.stringify({
    kind: "cniCacheV1",
    containerId: "def",
    ifName: "eth0",
    networkName: "minicni",
    netns: "/run/netns/cni-2",
  }),
  // Not written to the disk when the power went (cni#1055).
  "minicni-torn-eth0": "",
};
const host = {
  listFolder: (path: string) => (path === "/var/lib/cni/results" ? Object.keys(FILES) : []),
  readFile: (path: string) => FILES[path.slice("/var/lib/cni/results/".length)] ?? null,
};

test("what a runtime keeps of its ADDs tells namespaces and pods", () => {
  expect(readRuntimeCache("/var/lib/cni", host)?.adds).toEqual([
    {
      network: "minicni",
      containerId: "abc",
      ifname: "eth0",
      netns: "/run/netns/cni-1",
      pod: { namespace: "shop", name: "web-0" },
    },
    { network: "minicni", containerId: "def", ifname: "eth0", netns: "/run/netns/cni-2", pod: null },
  ]);
});

test("a file that can't be read counts as there, since it says that the runtime knows the pod", () => {
  const cache = readRuntimeCache("/var/lib/cni", host);
  const has = (containerId: string, ifname = "eth0") =>
    cache !== null && isCached(cache, { network: "minicni", containerId, ifname });
  expect([has("abc"), has("abc", ""), has("torn"), has("gone"), has("abc", "net1")]).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
});

test("an empty cache says nothing of anybody", () => {
  expect(readRuntimeCache("/elsewhere", host)).toBeNull();
});
