import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { BRIDGE, destroySandboxes, type Json, must, NOTHING, type Pod, run, Sandbox } from "./sandbox.ts";
import { errorOf, type ResultView, resultOf } from "./views.ts";

afterAll(destroySandboxes);

const SYSCTLS = {
  "net.core.somaxconn": "500",
  "net.ipv4.tcp_fin_timeout": "0x20",
  "net/ipv4/ip_local_port_range": "1024 65000",
  "net.ipv4.conf.IFNAME.arp_notify": "0",
  "net.ipv6.conf.IFNAME.accept_ra": "2",
};
const TUNING = { promisc: true, allmulti: true, txQLen: 77, sysctl: SYSCTLS };

const inside = (pod: Pod, ...words: string[]) => must("nsenter", `--net=${pod.netns}`, ...words);
const sysctl = (pod: Pod, key: string) => inside(pod, "cat", `/proc/sys/net/${key}`).trim();
const check = (box: Sandbox, pod: Pod, conf: Json, prevResult: ResultView) =>
  box.call("CHECK", pod, { ...conf, prevResult });

describe("ADD with tuning", () => {
  test("sets all of it in the sandbox alone, ours behind the user's; CHECK passes", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const conf = box.conf(TUNING);
    const before = box.node("cat", "/proc/sys/net/core/somaxconn");
    const result = box.add(pod, conf);
    const shown = inside(pod, "ip", "link", "show", "dev", "eth0");
    expect(shown).toContain("ALLMULTI,PROMISC");
    expect(shown).toContain("qlen 77");
    const keys = [
      "core/somaxconn",
      "ipv4/ip_local_port_range",
      "ipv4/conf/eth0/arp_notify",
      "ipv6/conf/eth0/accept_ra",
    ];
    expect(keys.map((key) => sysctl(pod, key))).toEqual(["500", "1024\t65000", "0", "2"]);
    expect(box.node("cat", "/proc/sys/net/core/somaxconn")).toBe(before);
    expect(check(box, pod, conf, result)).toMatchObject({ exitCode: 0, stdout: "" });
    expect(box.call("DEL", pod, conf).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("args come over the file; its MTU is that of the pod's link, not of the bridge", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const cni = { mtu: 1300, txQLen: 5, promisc: false, sysctl: { "net.core.somaxconn": "600" } };
    const conf = box.conf({ ...TUNING, mtu: 1400, mac: "02:00:00:00:00:07", args: { cni } });
    const result = box.add(pod, conf);
    expect(result.interfaces.map(({ mtu }) => mtu)).toEqual([1400, 1300, 1300]);
    expect(result.interfaces[2]?.mac).toBe("02:00:00:00:00:07");
    expect(box.link(BRIDGE).mtu).toBe(1400);
    expect(box.link("eth0", pod.netns)).toMatchObject({ mtu: 1300, address: "02:00:00:00:00:07" });
    const shown = inside(pod, "ip", "link", "show", "dev", "eth0");
    expect(shown).toContain("qlen 5");
    expect(shown).not.toContain("PROMISC");
    expect([sysctl(pod, "core/somaxconn"), sysctl(pod, "ipv4/conf/eth0/arp_notify")]).toEqual(["600", "0"]);
    expect(check(box, pod, conf, result)).toMatchObject({ exitCode: 0, stdout: "" });
  });

  test.each([
    [{ sysctl: { "kernel.pid_max": "1" } }, 2, 'invalid net sysctl key: "kernel.pid_max"="1"'],
    [{ sysctl: { "net/../kernel/pid_max": "1" } }, 2, "invalid net sysctl key"],
    [
      { sysctl: { "net.core.somaxconn": "x" } },
      999,
      ", wanted x, and /proc/sys/net/core/somaxconn can't be written (EINVAL)",
    ],
    [{ sysctl: { "net.no.such": "1" } }, 999, "net.no.such is not there, wanted 1"],
    [{ txQLen: -1 }, 7, "invalid txQLen: -1"],
    [{ args: { cni: { mtu: 70_000 } } }, 7, "invalid mtu: 70000"],
    [{ mac: "01:00:00:00:00:00" }, 7, "invalid MAC address: 01:00:00:00:00:00"],
  ])("refuses %j with code %d and leaves nothing", (more, code, msg) => {
    const box = new Sandbox();
    const pod = box.pod();
    expect(errorOf(box.call("ADD", pod, box.conf(more)))).toMatchObject({
      code,
      msg: expect.stringContaining(msg),
    });
    expect(box.leftovers()).toEqual(NOTHING);
    expect(must("nsenter", `--net=${pod.netns}`, "ip", "-br", "link")).not.toContain("eth0");
    expect(box.call("DEL", pod, box.conf(more)).exitCode).toBe(0);
  });
});

describe("CHECK of tuning", () => {
  test.each([
    ["ip link set dev eth0 promisc off", "promisc of eth0 is false, wanted true"],
    ["ip link set dev eth0 allmulticast off", "allmulti of eth0 is false, wanted true"],
    ["ip link set dev eth0 txqueuelen 1000", "txQueueLength of eth0 is 1000, wanted 77"],
    ["sysctl -qw net.core.somaxconn=10", "sysctl net/core/somaxconn in "],
  ])("fails behind %s", (command, fault) => {
    const box = new Sandbox();
    const pod = box.pod();
    const conf = box.conf(TUNING);
    const result = box.add(pod, conf);
    inside(pod, ...command.split(" "));
    expect(errorOf(check(box, pod, conf, result)).details).toContain(fault);
  });
});

test("the node's list of sysctls is kept to: what it lacks is refused with code 2", () => {
  const box = new Sandbox();
  if (box.served !== null) return;
  const list = `${box.dir}/tuning`;
  mkdirSync(list);
  writeFileSync(`${list}/allowlist.conf`, "^net\\.core\\.somaxconn$\n");
  // In a mount namespace of its own, so that the machine's /etc stays as it is.
  const script =
    'mount -t tmpfs none /etc/cni && mkdir /etc/cni/tuning && mount --bind "$0" /etc/cni/tuning && exec "$@"';
  const add = (key: string) => {
    const pod = box.pod();
    const argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, list, ...box.argv()];
    const stdin = JSON.stringify(box.conf({ sysctl: { [key]: "500" } }));
    return run(argv, { stdin, env: box.variables("ADD", pod) });
  };
  mkdirSync("/etc/cni", { recursive: true });
  resultOf(add("net.core.somaxconn"));
  expect(errorOf(add("net.core.rmem_max"))).toMatchObject({
    code: 2,
    msg: 'unsupported field: sysctl "net.core.rmem_max"="500" is not allowed by /etc/cni/tuning/allowlist.conf',
  });
});
