import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { askTcp, NO_PORTS, NODE, openUdp, PortNode, serveTcp, serveUdp } from "./host-ports-node.ts";
import { destroySandboxes, type Json, type Pod, read, type Variables } from "./sandbox.ts";
import { CallAgent } from "./served-agent.ts";
import { ToldPrograms } from "./served-node.ts";
import { OUTSIDE } from "./views.ts";

setDefaultTimeout(60_000);
const programs = new ToldPrograms();
const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
  destroySandboxes();
});
afterAll(destroySandboxes);

const keep = <T extends { close(): void }>(one: T): T => {
  open.push(one);
  return one;
};

/** A node whose agent leaves for later what nobody waits for, as agents do. */
function lazyNode(prepare: (folder: string) => Variables = () => ({})) {
  const node = new PortNode();
  const { box } = node;
  const env = prepare(box.dir);
  const agent = new CallAgent({ netns: box.netns, stateDir: box.stateDir, args: ["50"], env });
  open.push({ close: () => agent.kill() });
  const argv = [
    ...["/usr/bin/nsenter", `--net=${box.netns}`, "/usr/bin/env"],
    ...[`MINICNI_SOCKET=${agent.socket}`, programs.launcher],
  ];
  const call = async (command: string, pod: Pod, conf: Json): Promise<Pod> => {
    const done = await box.start(command, pod, conf, { argv }).done;
    if (done.exitCode !== 0) throw new Error(`${command} of ${pod.id}: ${done.stdout}`);
    return pod;
  };
  return { node, add: (ports: readonly string[]) => call("ADD", box.pod(), node.conf(ports)), call };
}

describe("host ports by an agent", () => {
  afterEach(() => {
    // None was left to the full binary.
    expect(programs.taken()).toEqual([]);
  });

  test("rules are where kubelet's are, also when the claims are torn", async () => {
    const { node, add, call } = lazyNode();
    for (const tool of ["iptables-legacy", "ip6tables-legacy"])
      node.box.node(tool, "-t", "mangle", "-N", "KUBE-IPTABLES-HINT");
    const pod = await add(["tcp 8080 80"]);
    expect(node.box.node("iptables-legacy-save", "-t", "nat")).toContain("--to-destination 10.7.0.2:80");
    const claims = `${node.box.stateDir}/hostports/claims.json`;
    writeFileSync(claims, read(claims).slice(0, 50));
    const other = await add(["tcp 8081 80"]);
    keep(serveTcp(pod.netns, 80, "pod"));
    expect(await askTcp(node.world.netns, NODE[0], 8080)).toStartWith("pod");
    writeFileSync(claims, "");
    for (const one of [pod, other]) await call("DEL", one, node.conf([]));
    expect(node.traces()).toEqual(NO_PORTS);
  });

  test("UDP: a client that goes on from one port is answered by the pod's successor", async () => {
    const { node, add, call } = lazyNode();
    const asker = keep(await openUdp(node.world.netns, 4));
    const first = await add(["udp 5353 53"]);
    keep(await serveUdp(first.netns, 53, "first"));
    expect(await asker.ask(NODE[0], 5353)).toBe(`first saw ${OUTSIDE[0]}`);
    await call("DEL", first, node.conf([]));
    asker.tell(NODE[0], 5353);
    const pods = await Promise.all([["udp 5353 53"], ["udp 5354 53"]].map(add));
    for (const [index, pod] of pods.entries()) keep(await serveUdp(pod.netns, 53, `successor${index}`));
    expect(await asker.ask(NODE[0], 5353)).toBe(`successor0 saw ${OUTSIDE[0]}`);
  });

  test("pods of one burst share restores, and so do their ends", async () => {
    const { node, add, call } = lazyNode((folder) => {
      for (const program of ["iptables-nft-restore", "ip6tables-nft-restore"]) {
        const script = `#!/bin/sh\necho >> ${folder}/runs\nexec ${Bun.which(program)} "$@"\n`;
        writeFileSync(`${folder}/${program}`, script, { mode: 0o755 });
      }
      return { PATH: `${folder}:${process.env.PATH}` };
    });
    const ports = Array.from({ length: 30 }, (_, index) => 8000 + index);
    const pods = await Promise.all(ports.map((port) => add([`tcp ${port} 80`])));
    const rules = node.rules().filter((rule) => rule.includes("--dport"));
    expect(rules).toHaveLength(2 * ports.length);
    const runs = () => read(`${node.box.dir}/runs`).length;
    expect(runs()).toBeLessThan(2 * ports.length);
    const before = runs();
    await Promise.all(pods.map((pod) => call("DEL", pod, node.conf([]))));
    expect(runs() - before).toBeLessThan(2 * ports.length);
    expect(node.traces()).toEqual(NO_PORTS);
  });
});
