import { describe, expect, test } from "bun:test";
import { findModules } from "../../../../src/entry/doctor/collect/modules.ts";
import { contextOf } from "./context.ts";

const RELEASE = "6.1.0-9-amd64";
const LOADED = { "/proc/modules": "bridge 1 0 - Live 0x0\nllc 1 1 bridge, Live 0x0\n" };
const DISK = {
  [`/lib/modules/${RELEASE}/modules.builtin`]: "kernel/net/8021q/8021q.ko\n",
  [`/lib/modules/${RELEASE}/modules.dep`]:
    "kernel/net/vxlan.ko.zst: kernel/net/udp_tunnel.ko.zst\nkernel/net/nf-conntrack.ko:\nkernel/net/bridge.ko:\n",
};
const of = (files: Readonly<Record<string, string>>) => findModules(contextOf(files), RELEASE);

describe("the modules of a kernel", () => {
  test("are those that are loaded, built in, and on the disk", () => {
    const found = of({ ...LOADED, ...DISK });
    expect(Object.fromEntries(found.places)).toEqual({
      bridge: "loaded",
      llc: "loaded",
      "8021q": "built in",
      vxlan: "on the disk",
      nf_conntrack: "on the disk",
    });
    expect(found).toMatchObject({ risk: null, isReplaced: false, isLocked: false });
  });

  test("in a container that does not see the disk: a trial could load one of the host's", () => {
    expect(of(LOADED)).toMatchObject({
      risk: "no such module is loaded, and those on the host's disk can't be seen from here",
      isReplaced: false,
    });
  });

  test("of a kernel that has none can't be loaded, nor of one that is locked", () => {
    expect(of({}).risk).toBeNull();
    expect(of({ ...LOADED, "/proc/sys/kernel/modules_disabled": "1\n" })).toMatchObject({
      risk: null,
      isLocked: true,
    });
  });

  test("of another kernel alone: it was replaced since the boot", () => {
    const files = { ...LOADED, "/lib/modules/6.2.0/modules.dep": "kernel/net/vxlan.ko:\n" };
    expect(of(files)).toMatchObject({ isReplaced: true, risk: null });
  });

  test("that modprobe.d keeps from being loaded are told by line; a file hides those of its name behind it", () => {
    const { blocks } = of({
      ...LOADED,
      ...DISK,
      "/etc/modprobe.d/a.conf": "# none\n",
      "/usr/lib/modprobe.d/a.conf": "blacklist bridge\n",
      "/usr/lib/modprobe.d/b.conf": "options x y=1\ninstall nf-conntrack /bin/false\n",
      "/etc/modprobe.d/README": "blacklist vxlan\n",
    });
    expect(Object.fromEntries(blocks)).toEqual({
      nf_conntrack: "/usr/lib/modprobe.d/b.conf:2: install nf-conntrack /bin/false",
    });
  });
});
