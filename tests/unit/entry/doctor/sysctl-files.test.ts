import { describe, expect, test } from "bun:test";
import { readSettings } from "../../../../src/entry/doctor/collect/sysctl-files.ts";
import { contextOf } from "./context.ts";

const of = (files: Readonly<Record<string, string>>, root = "") =>
  readSettings(contextOf(files, root), () => true).map(({ key, value, place }) => `${place} ${key}=${value}`);
const SYSTEMD = { "/usr/lib/systemd/systemd-sysctl": "" };

describe("lines that set sysctls at boot", () => {
  test("come by the names of files, whatever folder they are in; a name in front hides the same behind it", () => {
    expect(
      of({
        "/usr/lib/sysctl.d/10-a.conf": "a.b=1",
        "/etc/sysctl.d/20-b.conf": "a.b=2",
        "/usr/lib/sysctl.d/20-b.conf": "a.b=3",
        "/run/sysctl.d/15-c.conf": "a.b=4",
        "/etc/sysctl.d/README": "a.b=5",
      }),
    ).toEqual([
      "/usr/lib/sysctl.d/10-a.conf:1 a/b=1",
      "/run/sysctl.d/15-c.conf:1 a/b=4",
      "/etc/sysctl.d/20-b.conf:1 a/b=2",
    ]);
  });

  test("are read as sysctl.d(5) has them", () => {
    const text = [
      "# a.b=1",
      ";a.b=1",
      "",
      "net.ipv4.conf.eth0/5.forwarding = 0",
      "net/ipv4/conf/eth0.5/forwarding=1",
      "-net.ipv4.ip_forward =  2  ",
      "-net.ipv4.conf.all.rp_filter",
      "net.ipv4.conf.*.rp_filter=2",
      "no value",
    ].join("\n");
    expect(of({ "/etc/sysctl.d/x.conf": text })).toEqual([
      "/etc/sysctl.d/x.conf:4 net/ipv4/conf/eth0.5/forwarding=0",
      "/etc/sysctl.d/x.conf:5 net/ipv4/conf/eth0.5/forwarding=1",
      "/etc/sysctl.d/x.conf:6 net/ipv4/ip_forward=2",
      "/etc/sysctl.d/x.conf:7 net/ipv4/conf/all/rp_filter=null",
      "/etc/sysctl.d/x.conf:8 net/ipv4/conf/*/rp_filter=2",
    ]);
  });

  const OLD = { "/etc/sysctl.conf": "a.b=9", "/etc/sysctl.d/99-zz.conf": "a.b=1" };

  test("of /etc/sysctl.conf are the last ones where there is no systemd", () => {
    expect(of(OLD).at(-1)).toBe("/etc/sysctl.conf:1 a/b=9");
  });

  test("of /etc/sysctl.conf are none to systemd, but where a link leads to it", () => {
    expect(of({ ...OLD, ...SYSTEMD })).toEqual(["/etc/sysctl.d/99-zz.conf:1 a/b=1"]);
    expect(of({ ...OLD, ...SYSTEMD, "/etc/sysctl.d/99-sysctl.conf": "-> ../sysctl.conf" })).toEqual([
      "/etc/sysctl.conf:1 a/b=9",
      "/etc/sysctl.d/99-zz.conf:1 a/b=1",
    ]);
  });

  test("below a root folder follow links as the host would", () => {
    const files = {
      "/host/etc/sysctl.d/60-nixos.conf": "-> /etc/static/60.conf",
      "/host/etc/static/60.conf": "-> ../../nix/60.conf",
      "/host/nix/60.conf": "a.b=1",
      "/nix/60.conf": "a.b=2",
      "/host/etc/sysctl.d/10-loop.conf": "-> 10-loop.conf",
    };
    expect(of(files, "/host")).toEqual(["/nix/60.conf:1 a/b=1"]);
  });
});
