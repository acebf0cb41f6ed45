import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { type Agent, AgentNode, destroyNodes, N1, N2, N3 } from "./agent.ts";
import { addressesOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroyNodes);
afterAll(destroyNodes);

/**
 * What a container runtime makes of the manifest's container: /proc/sys and the root file system read-only but for the
 * mounts, and four capabilities. $1: the folder that can be written; $2: where /proc/sys/net is mounted a second time,
 * or empty.
 */
const CONTAINER = `
mount --bind "$1" "$1"
mount --rbind /run/netns /run/netns
touch /run/xtables.lock
mount --bind /run/xtables.lock /run/xtables.lock
if [ -n "$2" ]; then mount --bind /proc/sys/net "$2/net"; fi
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -o remount,bind,ro /
shift 2
exec setpriv --bounding-set=-all,+dac_override,+net_admin,+net_raw,+sys_admin --inh-caps=-all "$@"
`;

/** Starts the agent as in a container; `hasMount`: with the node's /proc/sys/net where it can be written. */
function start(node: AgentNode, hasMount: boolean, args: readonly string[] = []): Agent {
  const root = `${node.box.dir}/proc/sys`;
  mkdirSync(`${root}/net`, { recursive: true });
  const before = [
    "unshare",
    "-m",
    "--propagation",
    "slave",
    "sh",
    "-ec",
    CONTAINER,
    "sh",
    node.box.dir,
    hasMount ? root : "",
  ];
  return node.start({ args, before, env: { MINICNI_PROC_SYS: root } });
}

const FORWARDING = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"];

function forward(node: AgentNode, value: 0 | 1): void {
  node.box.node("sysctl", "-qw", ...FORWARDING.map((name) => `${name}=${value}`));
}

const forwarding = (node: AgentNode) =>
  node.box
    .node("sysctl", "-n", ...FORWARDING)
    .split("\n")
    .join("");

describe("the agent in the container of its DaemonSet", () => {
  test("switches forwarding on by the mount, and does all of its work", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    forward(node, 0);
    const agent = start(node, true);
    await agent.ready();
    expect(forwarding(node)).toBe("11");
    expect(node.routes()).toHaveLength(4);
    expect(node.box.node("sysctl", "-n", "net.ipv4.conf.minicni/vxlan.rp_filter").trim()).toBe("2");
    expect(existsSync(node.conflist)).toBe(true);
    expect(agent.log()).not.toMatch(/ warn /);
  });

  test("without the mount: says what is wrong and what to do, and leaves the node as it was before that is done", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    forward(node, 0);
    const before = node.kernel();
    const agent = start(node, false);
    const told =
      "net.ipv4.ip_forward is 0, wanted 1, and /proc/sys/net/ipv4/ip_forward can't be written (EROFS): run `sysctl -w net.ipv4.ip_forward=1` on the node (and keep it in /etc/sysctl.d), or mount the node's /proc/sys/net into the container and name the folder above it in MINICNI_PROC_SYS";
    await agent.says(told);
    await node.until("readiness tells", () => agent.page("/readyz").includes(told), agent);
    await node.until("the plugin is told", () => node.published().ready === false, agent);
    expect(existsSync(node.conflist)).toBe(false);
    expect(node.kernel()).toBe(before);
    forward(node, 1);
    await agent.ready();
    expect(existsSync(node.conflist)).toBe(true);
    expect(node.routes()).toHaveLength(4);
    // Pods depend on it now: the rest is kept right although it can't be switched on again.
    forward(node, 0);
    await agent.says(/warn steps fault=.*ip_forward/);
    node.ip("route", "flush", "proto", "157");
    await node.until("the routes are back", () => node.routes().length === 4, agent);
  });

  test("forwarding is on already: nothing has to be written", async () => {
    const node = new AgentNode();
    node.nodes(N1, N2, N3);
    forward(node, 1);
    const agent = start(node, false);
    await agent.ready();
    expect(agent.log()).not.toContain("ip_forward");
  });

  test("enters pods for another MTU, repairs their bridge, and removes what a pod left that is gone", async () => {
    const node = new AgentNode();
    const { box } = node;
    node.nodes(N1, N2);
    const conf = box.conf({ ipam: undefined, dataDir: box.dataDir, bridge: "minicni0" });
    const { cniVersion, name } = conf;
    writeFileSync(`${node.confDir}/20-pods.conflist`, JSON.stringify({ cniVersion, name, plugins: [conf] }));
    const agent = start(node, true, ["--leak-grace", "2"]);
    await agent.ready();
    const [live, dead] = [box.pod(), box.pod()];
    const [four = ""] = addressesOf(box.add(live, conf));
    box.add(dead, conf);
    box.removePod(dead);
    await node.until("the dead one's record is gone", () => box.records().length === 1, agent);
    node.ip("link", "del", "minicni0");
    await node.until("the node reaches the pod again", () => box.pings(box.netns, four), agent);
    node.ip("link", "set", "eth0", "mtu", "1400");
    await node.until("the pod follows", () => box.link("eth0", live.netns).mtu === 1400, agent);
  });
});
