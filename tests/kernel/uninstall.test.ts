import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { destroyNodes, N1, N2, N3, v4 } from "./agent.ts";
import { must, run } from "./sandbox.ts";
import { UninstallNode } from "./uninstall-node.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

const NOTHING = { exitCode: 0, stdout: "# nothing to change\n" };

/** A node with things of others beside what will be ours. */
function busyNode(): UninstallNode {
  const node = new UninstallNode();
  node.nodes(N1, N2, N3);
  node.ip("link", "add", "cni0", "type", "bridge");
  node.ip("link", "add", "mcni0", "type", "veth", "peer", "name", "mcnigx");
  for (const name of ["mcni0", "mcnigx"]) node.ip("link", "set", name, "addrgenmode", "none", "up");
  node.ip("route", "add", "10.99.0.0/24", "dev", "mcni0", "proto", "80");
  node.ip("route", "add", "10.98.0.0/24", "via", "10.9.0.254");
  writeFileSync(
    `${node.confDir}/20-bridge.conflist`,
    JSON.stringify({ name: "b", plugins: [{ type: "bridge" }] }),
  );
  writeFileSync(`${node.binDir}/bridge`, "theirs");
  mkdirSync(`${node.cniDir}/networks/b`);
  writeFileSync(`${node.cniDir}/networks/b/10.88.0.2`, "abc\r\neth0");
  writeFileSync(`${node.cniDir}/networks/b/lock`, "");
  writeFileSync(`${node.cniDir}/results/minicni-b-abc-eth0`, JSON.stringify({ networkName: "minicni-b" }));
  return node;
}

describe("a node from which minicni is removed", () => {
  test("is as it was before: links, routes, rules, files; what is of others is there", async () => {
    const node = busyNode();
    const before = node.everything();
    node.install();
    const agent = await node.up();
    const [gone, lost] = [node.box.pod(), node.box.pod()];
    for (const pod of [gone, lost]) {
      expect(node.call("ADD", pod, { ipMasq: true, macspoofchk: true }).exitCode).toBe(0);
    }
    writeFileSync(
      `${node.cniDir}/results/minicni-${lost.id}-eth0`,
      JSON.stringify({ networkName: "minicni" }),
    );
    expect(node.call("DEL", gone, { ipMasq: true, macspoofchk: true }).exitCode).toBe(0);
    // Its sockets stay.
    await agent.stop("SIGKILL");
    // Its DEL never comes.
    for (const pod of [gone, lost]) node.box.removePod(pod);
    const isGone = () => node.box.hostVeths().every((name) => ["mcni0", "mcnigx"].includes(name));
    await node.until("its link is gone", isGone);
    expect(node.everything()).not.toBe(before);
    const done = node.uninstall();
    expect(done.exitCode).toBe(0);
    expect(done.stderr).toContain("net.ipv4.ip_forward and net.ipv6.conf.all.forwarding stay");
    expect(node.everything()).toBe(before);
    expect(node.uninstall()).toMatchObject(NOTHING);
    expect(node.uninstall("--dry-run")).toMatchObject(NOTHING);
    expect(existsSync(node.confDir) && existsSync(node.binDir)).toBe(true);
  });

  test("is so as well when the first run was killed behind the conflist", async () => {
    const node = busyNode();
    const before = node.everything();
    node.install();
    await (await node.up()).stop();
    const bin = `${node.box.dir}/killing`;
    mkdirSync(bin);
    writeFileSync(`${bin}/ip`, "#!/bin/sh\nkill -KILL $PPID\n", { mode: 0o755 });
    const killed = node.uninstallWith({ PATH: `${bin}:${process.env.PATH}`, MINICNI_EXECUTOR: "iproute2" });
    expect(killed.exitCode).not.toBe(0);
    must("rm", "-r", bin);
    expect(readdirSync(node.confDir)).toEqual(["20-bridge.conflist"]);
    expect(node.hasLink("minicni.vxlan")).toBe(true);
    expect(readdirSync(node.binDir)).toContain("minicni");
    expect(node.uninstall().exitCode).toBe(0);
    expect(node.everything()).toBe(before);
  });

  test("that had Go minicni has its configuration and plugin back", () => {
    const node = busyNode();
    const conf = { cniVersion: "0.1.0", name: "minicni", type: "minicni", subnet: "10.244.1.0/24" };
    writeFileSync(`${node.confDir}/10-minicni.conf`, JSON.stringify(conf));
    writeFileSync(`${node.binDir}/minicni`, "the Go plugin", { mode: 0o755 });
    const before = node.everything();
    node.install();
    expect(readdirSync(node.confDir)).not.toContain("10-minicni.conf");
    expect(node.uninstall().exitCode).toBe(0);
    expect(node.everything()).toBe(before);
    // Nothing is ours any more.
    expect(node.uninstall()).toMatchObject(NOTHING);
    expect(node.everything()).toBe(before);
  });
});

describe("what stays", () => {
  test("a conflist that somebody chained other plugins into, and files in our folders, are told", async () => {
    const node = busyNode();
    await (await node.up()).stop();
    const chained = { name: "minicni", plugins: [{ type: "minicni" }, { type: "portmap" }] };
    writeFileSync(node.conflist, JSON.stringify(chained));
    writeFileSync(`${node.stateDir}/mine.txt`, "mine");
    const done = node.uninstall();
    expect(done.exitCode).toBe(0);
    expect(done.stderr).toContain(`${node.conflist} (network "minicni", plugins minicni, portmap)`);
    expect(JSON.parse(readFileSync(node.conflist, "utf8"))).toEqual(chained);
    expect(done.stderr).toContain(`${node.stateDir} stays, with what is not minicni's: mine.txt`);
    expect(readdirSync(node.stateDir)).toEqual(["mine.txt"]);
  });

  test("a link of our name but of another kind, and a foreign port of our bridge", () => {
    const node = busyNode();
    node.ip("link", "add", "minicni.vxlan", "type", "bridge");
    node.ip("link", "add", "minicni0", "type", "bridge");
    node.ip("link", "set", "mcni0", "master", "minicni0");
    const before = node.everything();
    const refused = node.uninstall();
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain("mcni0 is a port of minicni0 and not minicni's; take it off first");
    expect(node.everything()).toBe(before);
    const done = node.uninstall("--force");
    expect(done.exitCode).toBe(0);
    expect(done.stderr).toContain("minicni.vxlan is no vxlan but bridge: it stays");
    expect(["minicni.vxlan", "mcni0", "minicni0"].filter((name) => node.hasLink(name))).toEqual([
      "minicni.vxlan",
      "mcni0",
    ]);
  });
});

describe("uninstall is refused", () => {
  test("while an agent runs, and says how to end it", async () => {
    const node = busyNode();
    const agent = await node.up();
    const before = node.everything();
    const done = node.uninstall();
    expect(done).toMatchObject({ exitCode: 1, stdout: "" });
    expect(done.stderr).toContain(
      `an agent, or another uninstall, runs on this node (it holds ${node.stateDir}/agent.lock)`,
    );
    expect(done.stderr).toContain("kubectl delete -f k8s/minicni.yaml");
    // It would make all of it again.
    expect(node.uninstall("--force").exitCode).toBe(1);
    expect(node.everything()).toBe(before);
    await agent.stop();
    expect(node.uninstall().exitCode).toBe(0);
  });

  test("while pods are attached, by name; --force cuts them off", async () => {
    const node = busyNode();
    const before = node.everything();
    node.install();
    const agent = await node.up();
    const pod = node.box.pod();
    expect(node.call("ADD", pod, { ipMasq: true }).exitCode).toBe(0);
    await agent.stop();
    const installed = node.everything();
    const refused = node.uninstall();
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toContain(`attached to minicni: minicni ${pod.id} eth0 (${pod.netns})`);
    expect(refused.stderr).toContain("drain the node first");
    expect(node.everything()).toBe(installed);
    const shown = node.uninstall("--dry-run");
    expect(shown.exitCode).toBe(3);
    expect(shown.stderr).toContain("would refuse: attached to minicni");
    expect(node.everything()).toBe(installed);
    const forced = node.uninstall("--force");
    expect(forced.exitCode).toBe(0);
    expect(forced.stdout).toBe(shown.stdout);
    const inside = run(["nsenter", `--net=${pod.netns}`, "ip", "link", "show", "eth0"]);
    expect(inside.stderr).toContain("does not exist");
    expect(node.everything()).toBe(before);
  });
});

test("chains of a network that nobody remembers go from both iptables", () => {
  const node = busyNode();
  const before = node.everything();
  for (const variant of ["nft", "legacy"]) {
    for (const program of [`iptables-${variant}`, `ip6tables-${variant}`]) {
      node.box.node(program, "-t", "nat", "-N", "MINICNI-MASQ-0a1b2c3d");
      node.box.node(program, "-t", "nat", "-A", "POSTROUTING", "-j", "MINICNI-MASQ-0a1b2c3d");
      node.box.node(program, "-t", "nat", "-A", "MINICNI-MASQ-0a1b2c3d", "-j", "RETURN");
    }
  }
  node.box.node("nft", "add", "table", "inet", "minicni_masq_0a1b2c3d");
  expect(node.uninstall().exitCode).toBe(0);
  expect(node.everything()).toBe(before);
  const legacy = ["iptables-legacy-save", "ip6tables-legacy-save"].map((program) => node.box.node(program));
  expect(legacy.join("\n")).not.toContain("MINICNI");
});

/** Text without what differs from run to run. */
function stable(text: string, node: UninstallNode): string {
  return text.replaceAll(node.box.dir, "DIR");
}

test("--dry-run prints every command, whole and in order, and changes nothing", async () => {
  const node = new UninstallNode([4]);
  node.nodes(v4(N1), v4(N2), v4(N3));
  node.install();
  await (await node.up()).stop();
  const before = node.everything();
  const done = node.uninstall("--dry-run");
  expect(done).toMatchObject({ exitCode: 3, stderr: "" });
  expect(stable(done.stdout, node)).toBe(readFileSync(`${import.meta.dir}/uninstall-plan.txt`, "utf8"));
  expect(node.everything()).toBe(before);
});

test("--dry-run by somebody who is not root tells what it could not see", async () => {
  const node = busyNode();
  node.install();
  await (await node.up()).stop();
  must("chmod", "755", node.box.dir, node.stateDir);
  const [nsenter = "", net = "", ...argv] = node.argvOfUninstall("--dry-run");
  const other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
  const done = run([nsenter, net, ...other, ...argv]);
  expect(done.stderr).toContain("can't be looked at, and may be left: ");
  expect(done.exitCode).toBe(3);
  expect(done.stdout).toContain("ip link del dev minicni.vxlan\n");
});

test.each([[["--state-dir", "run"]], [["--nothing"]]])("misused (%j) exits 2", (words) => {
  expect(new UninstallNode().uninstall(...words).exitCode).toBe(2);
});
