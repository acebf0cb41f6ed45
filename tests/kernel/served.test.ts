import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync } from "node:fs";
import { type Json, NOTHING, type Pod, run, Sandbox, type Variables } from "./sandbox.ts";
import { destroyNodes, ServedNode, ToldPrograms } from "./served-node.ts";
import { addressesOf, errorOf, type Finished, resultOf } from "./views.ts";

setDefaultTimeout(30_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const programs = new ToldPrograms();

interface Case {
  readonly command?: string;
  readonly env?: Variables;
  /** In place of a configuration, or what is changed in it. */
  readonly stdin?: string;
  readonly conf?: Json;
  readonly ipam?: Json;
  readonly netns?: string;
}

/** Without what is another at each call: names of nodes and folders, and the MAC that the kernel gave a veth. */
function plain({ exitCode, stdout }: Finished, { name, dir }: Sandbox): Omit<Finished, "stderr"> {
  const text = stdout.replaceAll(name, "NODE").replaceAll(dir, "FOLDER");
  return { exitCode, stdout: text.replace(/("name":"mcni\w+","mac":)"[^"]+"/, "$1MAC") };
}

function play(box: Sandbox, argv: readonly string[], { command = "ADD", env = {}, ...it }: Case): Finished {
  const pod: Pod = { id: "pod1", netns: it.netns ?? `${box.netns}-pod1` };
  const stdin = it.stdin ?? JSON.stringify({ ...box.conf({}, it.ipam), ...it.conf });
  return run(argv, { stdin, env: box.variables(command, pod, env) });
}

describe("what the agent answers is byte for byte what the binary prints", () => {
  const ranges = (subnet: string): Json => ({ ranges: [[{ subnet }]] });
  const cases: readonly (readonly [string, Case])[] = [
    ["a result of 1.1.0", {}],
    ["a result of 0.4.0", { conf: { cniVersion: "0.4.0", mtu: 1400 } }],
    ["a DEL of nothing", { command: "DEL" }],
    ["a STATUS", { command: "STATUS" }],
    ["a GC of nothing", { command: "GC" }],
    ["an unknown verb", { env: { CNI_COMMAND: "add" } }],
    ["a bad container ID", { env: { CNI_CONTAINERID: "../../etc" } }],
    ["a bad interface name", { env: { CNI_IFNAME: "a".repeat(16) } }],
    ["no interface name", { env: { CNI_IFNAME: "" } }],
    ["unknown arguments", { env: { CNI_ARGS: "IP=10.8.0.1" } }],
    ["broken JSON", { stdin: "{" }],
    ["nothing on stdin", { stdin: "" }],
    ["null", { stdin: "null" }],
    ["an array", { stdin: "[]" }],
    ["bytes that are no text", { stdin: "\u0000\uFFFD{" }],
    ["an unknown version", { conf: { cniVersion: "9.9.9" } }],
    ["a wrong type", { conf: { mtu: "1400" } }],
    ["no name", { conf: { name: "" } }],
    ["an unknown backend", { conf: { ipMasq: true, ipMasqBackend: "ipfw" } }],
    ["a bridge name too long", { conf: { bridge: "b".repeat(16) } }],
    ["no CIDR", { ipam: ranges("pods") }],
    ["a /31", { ipam: ranges("10.7.0.0/31") }],
    ["a bad route", { ipam: { routes: [{ dst: "everywhere" }] } }],
    ["a route that the kernel refuses", { ipam: { routes: [{ dst: "10.9.0.0/16", gw: "192.168.9.1" }] } }],
    ["a namespace that is not there", { netns: "/run/netns/no-such" }],
    ["a namespace of another kind", { netns: "/proc/self/ns/uts" }],
    ["a folder as namespace", { netns: "/tmp" }],
    ["no namespace", { netns: "" }],
    ["CHECK without prevResult", { command: "CHECK" }],
    ["CHECK of a version without it", { command: "CHECK", conf: { cniVersion: "0.3.1" } }],
    ["GC of a version without it", { command: "GC", conf: { cniVersion: "1.0.0" } }],
  ];
  test.each(cases)("%s", (_, it) => {
    const [other, node] = [new Sandbox(), new ServedNode(programs)];
    for (const box of [other, node.box]) box.pod();
    node.serve();
    const [wanted, done] = [play(other, other.argv(), it), play(node.box, node.argv(), it)];
    expect(plain(done, node.box)).toEqual(plain(wanted, other));
    expect(programs.taken()).toEqual([]);
    other.destroy();
  });

  test("also for a configuration of 1 MiB; for 10 MB the binary does it", () => {
    const [other, node] = [new Sandbox(), new ServedNode(programs)];
    node.serve();
    for (const [size, taken] of [
      [2 ** 20, []],
      [10_000_000, ["ADD pod1"]],
    ] as const) {
      const it: Case = { stdin: JSON.stringify({ name: "x".repeat(size - 11) }) };
      const [wanted, done] = [play(other, other.argv(), it), play(node.box, node.argv(), it)];
      expect(plain(done, node.box)).toEqual(plain(wanted, other));
      expect(programs.taken()).toEqual([...taken]);
    }
    other.destroy();
  });
});

describe("the binary does what the agent can't do for its caller", () => {
  test("in another network namespace: there, not on the agent's node", async () => {
    const [node, elsewhere] = [new ServedNode(programs), new Sandbox()];
    node.serve();
    const pod = node.box.pod();
    const argv = node.argv(undefined, elsewhere.netns);
    resultOf(await node.start("ADD", pod, node.box.conf(), argv).done);
    expect(programs.taken()).toEqual(["ADD pod1"]);
    expect(node.box.hostVeths()).toEqual([]);
    expect(elsewhere.hostVeths()).toHaveLength(1);
    expect((await node.start("DEL", pod, node.box.conf(), argv).done).exitCode).toBe(0);
    expect(programs.taken()).toEqual(["DEL pod1"]);
    expect(elsewhere.hostVeths()).toEqual([]);
    elsewhere.destroy();
  });

  test("for another state folder, or another plugin's addresses", async () => {
    const node = new ServedNode(programs);
    node.serve();
    const pod = node.box.pod();
    resultOf(await node.call("ADD", pod, node.box.conf({ stateDir: `${node.box.dir}/other` })));
    expect(programs.taken()).toEqual(["ADD pod1"]);
    const delegated = await node.call("ADD", node.box.pod(), node.box.conf({ ipam: { type: "nosuch" } }));
    expect(errorOf(delegated).code).toBe(7);
    expect(programs.taken()).toEqual(["ADD pod2"]);
  });

  test("with more time than the launcher waits", async () => {
    const node = new ServedNode(programs);
    node.serve();
    for (const [deadline, taken] of [
      [90, []],
      [91, ["ADD pod2"]],
    ] as const) {
      resultOf(await node.call("ADD", node.box.pod(), node.box.conf({ deadline })));
      expect(programs.taken()).toEqual([...taken]);
    }
  });

  const asNobody = ["setpriv", "--reuid", "65534", "--clear-groups"];
  test.each([0o600, 0o666])("as somebody else than root, sockets of mode %o", async (mode) => {
    const node = new ServedNode(programs);
    node.serve();
    chmodSync(node.box.dir, 0o755);
    for (const path of [node.socket, `${node.socket}.fd`]) chmodSync(path, mode);
    const [enter = "", net = "", ...words] = node.argv();
    const argv = [enter, net, ...asNobody, ...words];
    expect((await node.start("ADD", node.box.pod(), node.box.conf(), argv).done).exitCode).not.toBe(0);
    expect(programs.taken()).toEqual(["ADD pod1"]);
    expect(node.box.leftovers()).toEqual(NOTHING);
  });
});

describe("an agent that does not see the node's files", () => {
  /** As in its container: the folder of addresses is mounted, those of namespaces are not. */
  function contained() {
    const node = new ServedNode(programs);
    mkdirSync(`${node.box.dir}/cni`);
    const script = `mount -t tmpfs none /run/netns; mount -t tmpfs none /var/lib; mkdir /var/lib/cni
      mount --bind ${node.box.dir}/cni /var/lib/cni; exec "$@"`;
    const agent = node.serve({ prefix: ["unshare", "-m", "sh", "-e", "-c", script, "sh"] });
    const conf = node.box.conf({}, { dataDir: "/var/lib/cni/networks" });
    return { node, agent, conf };
  }

  test("serves by the descriptor, whatever the namespace's path means to it", async () => {
    const { node, agent, conf } = contained();
    const [byName, byProcess] = [node.box.pod(), node.box.pod()];
    const sleeper = Bun.spawn(["nsenter", `--net=${byProcess.netns}`, "sleep", "60"]);
    const pods = [byName, { ...byProcess, netns: `/proc/${sleeper.pid}/ns/net` }];
    try {
      await Bun.sleep(100);
      for (const pod of pods) {
        const prevResult = resultOf(await node.call("ADD", pod, conf));
        expect(prevResult.interfaces[2]?.sandbox).toBe(pod.netns);
        const [address = ""] = addressesOf(prevResult);
        expect(node.box.pings(node.box.netns, address)).toBe(true);
        expect(await node.call("CHECK", pod, { ...conf, prevResult })).toMatchObject({ exitCode: 0 });
      }
      expect(node.box.hostVeths()).toHaveLength(2);
      for (const pod of pods) expect((await node.call("DEL", pod, conf)).exitCode).toBe(0);
      expect(programs.taken()).toEqual([]);
      await agent.settled();
      expect(node.box.leftovers()).toEqual(NOTHING);
    } finally {
      sleeper.kill("SIGKILL");
    }
  });

  test("leaves to the binary what needs such files", async () => {
    const { node } = contained();
    const pod = node.box.pod();
    for (const overrides of [{}, { ipMasq: true }, { executor: "iproute2" }]) {
      resultOf(await node.call("ADD", pod, node.box.conf(overrides)));
      expect((await node.call("DEL", pod, node.box.conf(overrides))).exitCode).toBe(0);
      expect(programs.taken()).toEqual(["ADD pod1", "DEL pod1"]);
    }
    expect(node.box.leftovers()).toEqual(NOTHING);
  });
});
