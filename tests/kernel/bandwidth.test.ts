import { afterAll, describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { BINARY, destroySandboxes, type Json, NETWORK, NOTHING, type Pod, run, Sandbox } from "./sandbox.ts";
import { addressesOf, errorOf, type ResultView, resultOf } from "./views.ts";

afterAll(destroySandboxes);

const MAX_UINT32 = 4294967295;
/** As containerd sends it for a pod that is annotated with 100M both ways. */
const BANDWIDTH = { ingressRate: 1e8, ingressBurst: MAX_UINT32, egressRate: 2e8, egressBurst: MAX_UINT32 };
const limited = (box: Sandbox, bandwidth: Json = BANDWIDTH): Json =>
  box.conf({ runtimeConfig: { bandwidth } });

const queues = (box: Sandbox, dev: string) => box.node("tc", "qdisc", "show", "dev", dev);
const nameOf = (box: Sandbox, kind: RegExp) => box.hostVeths().find((name) => kind.test(name)) ?? "(none)";
const veth = (box: Sandbox) => nameOf(box, /^mcni[0-9a-f]{11}$/);
const ifb = (box: Sandbox) => nameOf(box, /^mcnii[0-9a-f]{10}$/);
const check = (box: Sandbox, pod: Pod, prevResult: ResultView, conf = limited(box)) =>
  box.call("CHECK", pod, { ...conf, prevResult });

function forget(box: Sandbox, pod: Pod): void {
  rmSync(`${box.stateDir}/attachments/${NETWORK}/${pod.id}:eth0.json`);
}

/** A pod with both limits. */
function attached(): { box: Sandbox; pod: Pod; result: ResultView } {
  const box = new Sandbox();
  const pod = box.pod();
  return { box, pod, result: box.add(pod, limited(box)) };
}

describe("ADD with bandwidth", () => {
  test("limits both ways, tells the ifb, lets both families pass, and passes CHECK", () => {
    const { box, pod, result } = attached();
    const other = box.pod();
    const neighbour = box.add(other);
    expect(queues(box, veth(box))).toMatch(/tbf 1: root .*rate 100Mbit burst \d+\w* lat 25ms/);
    expect(queues(box, veth(box))).toContain("qdisc ingress ffff:");
    expect(queues(box, ifb(box))).toMatch(/tbf 1: root .*rate 200Mbit burst/);
    const { address: mac, mtu } = box.link(ifb(box));
    expect(result.interfaces.map(({ name }) => name)).toEqual(["br0", veth(box), "eth0", ifb(box)]);
    expect(result.interfaces[3]).toEqual({ name: ifb(box), mac, mtu });
    for (const address of addressesOf(neighbour)) expect(box.pings(pod.netns, address)).toBe(true);
    for (const address of addressesOf(result)) expect(box.pings(other.netns, address)).toBe(true);
    // All that the pod sent went by the ifb.
    const [stats] = JSON.parse(box.node("tc", "-s", "-j", "qdisc", "show", "dev", ifb(box)));
    expect(stats.packets).toBeGreaterThanOrEqual(4);
    expect(check(box, pod, result)).toMatchObject({ exitCode: 0, stdout: "" });
    expect(box.call("DEL", pod, limited(box)).exitCode).toBe(0);
    expect(box.call("DEL", other).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("limits one way only when only one is asked for; without any nothing is there", () => {
    const box = new Sandbox();
    const pods = box.pods(2);
    const [down, free] = pods;
    if (down === undefined || free === undefined) throw new Error("two pods were wanted");
    const keys = { ingressRate: 1e6, ingressBurst: 1e6 };
    const { interfaces } = box.add(down, box.conf(keys));
    expect(interfaces).toHaveLength(3);
    expect(ifb(box)).toBe("(none)");
    expect(queues(box, veth(box))).toContain("rate 1Mbit");
    expect(queues(box, veth(box))).not.toContain("ingress");
    box.call("DEL", down, box.conf(keys));
    box.add(free, limited(box, { ingressRate: 0, ingressBurst: 0, egressRate: 0, egressBurst: 0 }));
    expect(queues(box, veth(box))).not.toMatch(/tbf|ingress/);
  });

  test("does the same by iproute2", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const conf = { ...limited(box), executor: "iproute2", promisc: true, txQLen: 9 };
    const result = box.add(pod, conf);
    expect(queues(box, ifb(box))).toContain("rate 200Mbit");
    expect(check(box, pod, result, conf)).toMatchObject({ exitCode: 0, stdout: "" });
    expect(box.call("DEL", pod, conf).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("raises a burst that holds no full packet, and says so", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const done = box.call("ADD", pod, limited(box, { egressRate: 8e6, egressBurst: 8 }));
    resultOf(done);
    if (box.served === null) expect(done.stderr).toContain("egressBurst=8 bits holds no packet of MTU");
    const other = box.pod();
    for (const address of addressesOf(box.add(other))) {
      const words = ["ping", "-c", "1", "-W", "2", "-q", "-s", "1400", address];
      expect(run(["nsenter", `--net=${pod.netns}`, ...words]).exitCode).toBe(0);
    }
  });

  test.each([
    [{ ingressRate: 1e6 }, "if rate is set, burst must also be set"],
    [{ egressBurst: MAX_UINT32 }, "if burst is set, rate must also be set"],
    [{ ingressRate: 1e6, ingressBurst: 8 * MAX_UINT32 }, "burst cannot be more than 4GB"],
    [{ egressRate: -1, egressBurst: 8 }, "invalid egressRate: -1"],
    [{ egressRate: 1e16, egressBurst: 8 }, "egressRate is too high: 10000000000000000"],
  ])("refuses %j with code 7 and leaves nothing; DEL does not look at it", (bandwidth, msg) => {
    const box = new Sandbox();
    const pod = box.pod();
    expect(errorOf(box.call("ADD", pod, limited(box, bandwidth)))).toMatchObject({ code: 7, msg });
    expect(box.leftovers()).toEqual(NOTHING);
    expect(box.call("DEL", pod, limited(box, bandwidth)).exitCode).toBe(0);
  });

  test("takes all back when a later step fails", () => {
    const box = new Sandbox();
    const conf = { ...limited(box), sysctl: { "net.core.somaxconn": "nonsense" } };
    errorOf(box.call("ADD", box.pod(), conf));
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("clears away what a killed ADD left, its record lost or not", () => {
    for (const isLost of [false, true]) {
      const { box, pod } = attached();
      const path = `${box.stateDir}/attachments/${NETWORK}/${pod.id}:eth0.json`;
      const record = JSON.parse(box.node("cat", path));
      box.node("ip", "link", "del", veth(box));
      if (isLost) rmSync(path);
      else writeFileSync(path, JSON.stringify({ ...record, phase: "reserved" }));
      if (isLost) for (const name of box.reservations()) rmSync(`${box.dataDir}/${NETWORK}/${name}`);
      expect(box.hostVeths()).toEqual([ifb(box)]);
      box.add(pod, limited(box));
      expect(box.hostVeths()).toHaveLength(2);
    }
  });
});

describe("CHECK of limits", () => {
  test.each([
    [
      "the queue of the host's end",
      (box: Sandbox) => ["tc", "qdisc", "del", "dev", veth(box), "root"],
      "has no limit",
    ],
    [
      "the queue of the ifb",
      (box: Sandbox) => ["tc", "qdisc", "del", "dev", ifb(box), "root"],
      "has no limit",
    ],
    [
      "the redirection",
      (box: Sandbox) => ["tc", "qdisc", "del", "dev", veth(box), "ingress"],
      "does not go by ifb",
    ],
    ["the ifb", (box: Sandbox) => ["ip", "link", "del", ifb(box)], "is missing"],
    ["its being up", (box: Sandbox) => ["ip", "link", "set", ifb(box), "down"], "is down, wanted up"],
    [
      "the rate",
      (box: Sandbox) => `tc qdisc change dev ${ifb(box)} root tbf rate 1mbit burst 4mb latency 1s`.split(" "),
      "has a limit of 1000000 bit/s",
    ],
  ])("fails without %s", (_what, command, fault) => {
    const { box, pod, result } = attached();
    box.node(...command(box));
    const { code, details } = errorOf(check(box, pod, result));
    expect(code).toBe(999);
    expect(details).toContain(fault);
  });
});

describe("DEL of limits leaves nothing", () => {
  test.each([
    ["twice", () => undefined],
    ["when the sandbox is gone", (box: Sandbox, pod: Pod) => box.removePod(pod)],
    ["when the record is lost", (box: Sandbox, pod: Pod) => forget(box, pod)],
    [
      "when both are",
      (box: Sandbox, pod: Pod) => {
        box.removePod(pod);
        forget(box, pod);
      },
    ],
  ])("%s", (_when, change) => {
    const { box, pod } = attached();
    change(box, pod);
    for (const _turn of [1, 2]) expect(box.call("DEL", pod, box.conf()).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });
});

describe("GC of limits", () => {
  const LISTS = [{ "cni.dev/valid-attachments": [] }, {}];

  test.each(LISTS)("by %j takes the ifb of a pod whose sandbox is gone, its record lost or not", (list) => {
    const box = new Sandbox();
    const pods = box.pods(3);
    for (const pod of pods) box.add(pod, limited(box));
    for (const pod of pods) box.removePod(pod);
    const [first] = pods;
    if (first !== undefined) forget(box, first);
    // A namespace goes behind our back, some time after its name.
    for (let turn = 0; turn < 100 && veth(box) !== "(none)"; turn++) Bun.sleepSync(50);
    expect(box.hostVeths()).toHaveLength(3);
    expect(run(box.argv(), { stdin: JSON.stringify({ ...box.conf(), ...list }), env: GC }).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test.each(LISTS)("by %j leaves what a live pod has, and somebody else's ifb", (list) => {
    const { box, pod, result } = attached();
    box.node("ip", "link", "add", "ifb7", "type", "ifb");
    box.node("ip", "link", "add", "mcnii0123456789", "type", "ifb");
    const valid = { "cni.dev/valid-attachments": [{ containerID: pod.id, ifname: "eth0" }] };
    const stdin = JSON.stringify({ ...box.conf(), ...("cni.dev/valid-attachments" in list ? valid : list) });
    expect(run(box.argv(), { stdin, env: GC }).exitCode).toBe(0);
    expect(check(box, pod, result).exitCode).toBe(0);
    expect(box.links().filter(({ ifname }) => ["ifb7", "mcnii0123456789"].includes(ifname))).toHaveLength(2);
  });
});

const GC = { CNI_COMMAND: "GC", CNI_PATH: "/opt/cni/bin" };

test("plan attach prints the limits, and a plan of DEL the ifb", () => {
  const { box, pod } = attached();
  const args = ["plan", "attach", "--config", "-", "--netns", pod.netns, "--container-id", "other"];
  const argv = ["nsenter", `--net=${box.netns}`, BINARY];
  const stdin = JSON.stringify(limited(box));
  const planned = run([...argv, ...args], { stdin }).stdout;
  expect(planned).toMatch(/tc qdisc add dev mcni\w+ root handle 1: tbf rate 100000000bit/);
  expect(planned).toMatch(/ip link add name mcnii\w+ .* type ifb/);
  const del = run([...argv, "--dry-run"], { stdin, env: box.variables("DEL", pod) }).stdout;
  expect(del).toContain(`ip link del dev ${veth(box)}`);
  expect(del).toContain(`ip link del dev ${ifb(box)}`);
});
