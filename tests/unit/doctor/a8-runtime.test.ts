import { describe, expect, test } from "bun:test";
import { runtimeCheck } from "../../../src/doctor/checks/a8-runtime.ts";
import type { Runtime } from "../../../src/doctor/sections/runtime.ts";
import { findingsOf, linesOf } from "./facts.ts";

const folder = (path: string, change: Partial<Runtime["binDir"]> = {}): Runtime["binDir"] => ({
  path,
  state: "folder",
  inode: "4711",
  fault: null,
  mount: { device: "8:1", point: "/", options: ["rw", "relatime"], fsType: "ext4" },
  ...change,
});
const program = (name: string, change: Partial<Runtime["programs"][number]> = {}) =>
  ({ name, state: "file", bytes: 1000, mode: 0o755, ...change }) as const;
const containerd = (change: Partial<Runtime["runtimes"][number]> = {}): Runtime["runtimes"][number] => ({
  name: "containerd",
  pid: 812,
  configFile: "/etc/containerd/config.toml",
  confDir: "/etc/cni/net.d",
  isWatching: true,
  watches: ["inode 4711 of 8:1"],
  ...change,
});
const FINE: Runtime = {
  binDir: folder("/opt/cni/bin"),
  confDir: folder("/etc/cni/net.d"),
  isInstalled: true,
  unseen: null,
  programs: [program("minicni"), program("loopback")],
  runtimes: [containerd()],
};
const of = (change: Partial<Runtime>) => findingsOf(runtimeCheck, { runtime: { ...FINE, ...change } });
const lines = (change: Partial<Runtime>) => linesOf(of(change));
const ro = { device: "8:2", point: "/opt", options: ["ro", "noexec"], fsType: "ext4" };

describe("A8 passes", () => {
  test.each([
    [
      "folders as they should be",
      {},
      /^PASS A8 \/opt\/cni\/bin and \/etc\/cni\/net\.d, which the runtime watches, can be written$/,
    ],
    [
      "folders that are not there before an installation",
      { isInstalled: false, binDir: folder("/opt/cni/bin", { state: "missing" }) },
      /not there yet/,
    ],
    [
      "no plugin before an installation",
      { isInstalled: false, programs: [program("minicni", { state: "missing" })] },
      /^PASS/,
    ],
    [
      "a containerd that takes no configurations (Docker's)",
      { runtimes: [containerd({ confDir: null, isWatching: null })] },
      /^PASS/,
    ],
  ])("%s", (_what, change: Partial<Runtime>, line) => {
    expect(lines(change)).toEqual([expect.stringMatching(line)]);
  });
});

describe("A8 names", () => {
  test.each([
    [
      "a read-only file system",
      { binDir: folder("/opt/cni/bin", { fault: "EROFS" }) },
      /^WARN A8 \/opt\/cni\/bin is on a read-only file system$/,
    ],
    [
      "an immutable folder",
      { confDir: folder("/etc/cni/net.d", { fault: "EPERM" }) },
      /^WARN A8 nothing can be made in \/etc\/cni\/net\.d \(EPERM\)$/,
    ],
    [
      "noexec",
      { binDir: folder("/opt/cni/bin", { mount: ro }) },
      /^FAIL A8 \/opt\/cni\/bin is on a mount with noexec$/,
    ],
    [
      "a file in the folder's place",
      { confDir: folder("/etc/cni/net.d", { state: "other" }) },
      /^FAIL A8 \/etc\/cni\/net\.d is no folder$/,
    ],
    [
      "a folder that is gone",
      { binDir: folder("/opt/cni/bin", { state: "missing" }) },
      /^FAIL A8 there is no folder \/opt\/cni\/bin$/,
    ],
    [
      "no plugin",
      { programs: [program("minicni", { state: "missing" })] },
      /^FAIL A8 there is no plugin \/opt\/cni\/bin\/minicni$/,
    ],
    [
      "a plugin that can't be run",
      { programs: [program("minicni", { mode: 0o644 })] },
      /^FAIL A8 .* is not executable$/,
    ],
    [
      "an empty plugin",
      { programs: [program("minicni", { bytes: 0 })] },
      /^FAIL A8 empty file \/opt\/cni\/bin\/minicni$/,
    ],
    [
      "a loopback that leads nowhere",
      { programs: [program("loopback", { state: "broken link" })] },
      /^WARN A8 broken link: \/opt\/cni\/bin\/loopback$/,
    ],
    [
      "another folder of configurations",
      { runtimes: [containerd({ confDir: "/var/lib/rancher/net.d", isWatching: null })] },
      /^WARN A8 containerd \(process 812\) takes network configurations from \/var\/lib\/rancher\/net\.d, not from \/etc\/cni\/net\.d$/,
    ],
  ])("%s", (_what, change: Partial<Runtime>, line) => {
    expect(lines(change)).toEqual([expect.stringMatching(line)]);
  });

  test("a folder that the runtime no longer watches, with what it watches and what ends it", () => {
    const [found] = of({ runtimes: [containerd({ isWatching: false, watches: ["inode 99 of 8:1"] })] });
    expect(found?.level).toBe("warn");
    expect(found?.message).toBe(
      "containerd (process 812) does not watch /etc/cni/net.d as it is now (inode 4711)",
    );
    expect(found?.evidence).toContain("process 812 watches inode 99 of 8:1");
    expect(found?.fix).toEqual(["systemctl restart containerd"]);
  });
});

describe("A8 says what could not be seen", () => {
  test("by somebody who is not root", () => {
    expect(lines({ unseen: "run as root" })).toEqual([
      expect.stringMatching(/^PASS A8 .* are there$/),
      "SKIP A8 the runtime's folders: whether they can be written is not looked at: run as root",
    ]);
  });

  test.each([
    ["no runtime", [], /^SKIP A8 .*no process containerd or crio can be seen/],
    [
      "one whose watches are hidden",
      [containerd({ isWatching: null })],
      /^SKIP A8 .*process 812.*can't be seen/,
    ],
  ])("%s", (_what, runtimes, line) => {
    expect(lines({ runtimes })).toEqual([expect.stringMatching(/^PASS/), expect.stringMatching(line)]);
  });
});
