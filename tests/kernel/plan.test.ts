import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { BRIDGE, destroySandboxes, type Json, type Pod, read, run, Sandbox } from "./sandbox.ts";

setDefaultTimeout(20_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const TOOLS = ["ip", "iptables", "ip6tables", "iptables-restore", "ip6tables-restore", "sysctl", "nft"];

/** A PATH whose tools note each call; `count` tells how many `work` made. */
function counting(box: Sandbox): { env: { PATH: string }; count(work: () => unknown): number } {
  const folder = `${box.dir}/shims`;
  const log = `${box.dir}/spawns`;
  mkdirSync(folder);
  for (const tool of TOOLS) {
    const real = Bun.which(tool);
    if (real === null) continue;
    writeFileSync(`${folder}/${tool}`, `#!/bin/sh\necho ${tool} "$@" >>${log}\nexec ${real} "$@"\n`);
    chmodSync(`${folder}/${tool}`, 0o755);
  }
  const lines = () => (existsSync(log) ? read(log).split("\n").length - 1 : 0);
  return {
    env: { PATH: `${folder}:${process.env.PATH}` },
    count: (work) => {
      const before = lines();
      work();
      return lines() - before;
    },
  };
}

describe("spawned programs", () => {
  test("none at all with messages to the kernel", () => {
    const box = new Sandbox();
    const { env, count } = counting(box);
    const conf = box.conf({ executor: "netlink" });
    for (const pod of [box.pod(), box.pod()]) {
      expect(count(() => box.add(pod, conf, env))).toBe(0);
      expect(count(() => expect(box.call("DEL", pod, conf, env).exitCode).toBe(0))).toBe(0);
    }
  });

  test("by iproute2 three for ADD on a bridge that is there, one for DEL, none for the second DEL", () => {
    const box = new Sandbox();
    const [first, second] = [box.pod(), box.pod()];
    const { env, count } = counting(box);
    const conf = box.conf({ executor: "iproute2" });
    expect(count(() => box.add(first, conf, env))).toBeGreaterThan(3);
    expect(count(() => box.add(second, conf, env))).toBeLessThanOrEqual(3);
    const del = () => expect(box.call("DEL", second, conf, env).exitCode).toBe(0);
    expect(count(del)).toBeLessThanOrEqual(1);
    expect(count(del)).toBe(0);
  });

  test("with ipMasq two more for each family, side by side: the jump, and what it leads to", () => {
    const box = new Sandbox();
    const [first, second] = [box.pod(), box.pod()];
    const { env, count } = counting(box);
    const conf = box.conf({ ipMasq: true });
    box.add(first, conf, env);
    expect(count(() => box.add(second, conf, env))).toBeLessThanOrEqual(6);
    expect(count(() => box.call("DEL", second, conf, env))).toBeLessThanOrEqual(1);
  });
});

const SYSCTLS = ["accept_dad", "accept_ra", "disable_ipv6"];

function sysctls(box: Sandbox, netns: string, dev: string): string {
  const paths = SYSCTLS.map((name) => `/proc/sys/net/ipv6/conf/${dev}/${name}`);
  return box.node("nsenter", `--net=${netns}`, "cat", ...paths);
}

/** Everything the plugin may set in the kernel, without what differs by chance (indexes, lifetimes, link-local). */
function kernelState(box: Sandbox, pod: Pod): Json {
  const links = (netns: string) =>
    box.links(netns).map(({ ifname, address, mtu, flags, master, linkinfo, addr_info }) => ({
      ifname,
      address,
      mtu,
      flags: [...flags].sort(),
      master,
      hairpin: linkinfo?.info_slave_data?.hairpin,
      addresses: addr_info
        .map(({ local, prefixlen, tentative }) => `${local}/${prefixlen} ${tentative ?? false}`)
        .sort(),
    }));
  const routes = (netns: string) =>
    ([4, 6] as const).map((family) =>
      box.routes(netns, family).map(({ dst, gateway, dev }) => `${dst} ${gateway} ${dev}`),
    );
  const has = (netns: string, dev: string) => box.links(netns).some(({ ifname }) => ifname === dev);
  return {
    node: links(box.netns),
    pod: links(pod.netns),
    routes: [routes(box.netns), routes(pod.netns)],
    rules: [box.natRules(4), box.natRules(6)],
    forwarding: box.node("cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"),
    sysctls: [
      ...(has(box.netns, BRIDGE) ? [sysctls(box, box.netns, BRIDGE)] : []),
      ...(has(pod.netns, "eth0") ? [sysctls(box, pod.netns, "eth0")] : []),
    ],
    files: readdirSync(box.dir, { recursive: true }).map(String).sort(),
  };
}

function withoutFiles({ files: _, ...state }: Json): Json {
  return state;
}

function planAttach(box: Sandbox, pod: Pod, conf: Json): string {
  const options = ["--config", "-", "--netns", pod.netns, "--container-id", pod.id];
  const done = run(box.argv("plan", "attach", ...options), { stdin: JSON.stringify(conf) });
  expect(done.exitCode).toBe(0);
  return done.stdout;
}

function byHand(box: Sandbox, script: string): void {
  const done = run(["nsenter", `--net=${box.netns}`, "bash", "-euo", "pipefail"], { stdin: script });
  expect(done).toMatchObject({ exitCode: 0, stderr: "" });
}

describe("a printed plan", () => {
  for (const ipMasq of [false, true]) {
    test(`changes nothing; run by hand it gives what ADD gives (ipMasq ${ipMasq})`, () => {
      const [box, reference] = [new Sandbox(), new Sandbox()];
      const [pod, other] = [box.pod(), reference.pod()];
      reference.add(other, reference.conf({ ipMasq }));

      const conf = box.conf({ ipMasq });
      const before = kernelState(box, pod);
      const plan = planAttach(box, pod, conf);
      const dry = run(box.argv("--dry-run"), { stdin: JSON.stringify(conf), env: box.variables("ADD", pod) });
      expect(dry).toEqual({ exitCode: 0, stdout: plan, stderr: "" });
      expect(kernelState(box, pod)).toEqual(before);

      byHand(box, plan);
      expect(withoutFiles(kernelState(box, pod))).toEqual(withoutFiles(kernelState(reference, other)));
    });
  }

  test("on a node that has a pod holds only what is missing, and gives what ADD gives", () => {
    const [box, reference] = [new Sandbox(), new Sandbox()];
    const [first, pod] = [box.pod(), box.pod()];
    for (const it of [first, pod])
      reference.add({ ...reference.pod(), id: it.id }, reference.conf({ ipMasq: true }));
    box.add(first, box.conf({ ipMasq: true }));
    const plan = planAttach(box, pod, box.conf({ ipMasq: true }));
    expect(plan).not.toContain("type bridge\n");
    byHand(box, plan);
    expect(box.natRules(4)).toEqual(reference.natRules(4));
    expect(box.hostVeths()).toEqual(reference.hostVeths());
  });

  test("of DEL is the one removal, or says that nothing is to change", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const veth = box.add(pod).interfaces[1]?.name;
    const dry = () =>
      run(box.argv("--dry-run"), { stdin: JSON.stringify(box.conf()), env: box.variables("DEL", pod) })
        .stdout;
    expect(dry()).toContain(`ip link del dev ${veth}\n`);
    expect(box.hostVeths()).toHaveLength(1);
    box.call("DEL", pod);
    expect(dry()).toBe("# nothing to change\n");
  });

  test("that can't be made: exit 1 and the error document", () => {
    const box = new Sandbox();
    const done = run(box.argv("--dry-run"), { stdin: "{", env: box.variables("ADD", box.pod()) });
    expect(done.exitCode).toBe(1);
    expect(JSON.parse(done.stdout)).toMatchObject({ code: 6 });
  });
});
