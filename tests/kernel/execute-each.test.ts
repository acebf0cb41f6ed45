import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Means } from "../../src/host/batch.ts";
import { createDeadline } from "../../src/host/deadline.ts";
import { OverdueError } from "../../src/host/errors.ts";
import { executeEach } from "../../src/host/execute-each.ts";
import { observeLink } from "../../src/host/links.ts";
import { observeForwarding, observeNeighbours } from "../../src/host/neighbours.ts";
import { inNetns, openNetns } from "../../src/host/netns.ts";
import { observeTxChecksum } from "../../src/host/offload.ts";
import { lookupRoutes, observeRouteTable } from "../../src/host/routes.ts";
import { formatAddress } from "../../src/net/address.ts";
import { formatPrefix } from "../../src/net/prefix.ts";
import type { Operation, RouteSpec, Step } from "../../src/plan/step.ts";
import { address, prefix } from "../twin/words.ts";
import { nodeWith } from "./netlink.ts";
import { destroySandboxes, type Sandbox } from "./sandbox.ts";

setDefaultTimeout(30_000);
afterAll(destroySandboxes);

const NEVER: Means = {
  deadline: createDeadline(Number.POSITIVE_INFINITY),
  engine: "iproute2",
  open: openNetns,
};

async function runEach(box: Sandbox, operations: readonly Operation[]): Promise<string[]> {
  const plan = operations.map((operation): Step => ({ ...operation, netns: box.netns, why: "a test" }));
  const failures = await executeEach(plan, NEVER);
  const enter = `nsenter --net=${box.netns} `;
  for (const { step } of failures) expect(plan).toContain(step);
  return failures.map(({ command, message }) => `${command.replace(enter, "")}: ${message}`);
}

const route = (dst: string, via: string): Operation => ({
  op: "route.replace",
  route: { dst: prefix(dst), via: address(via), dev: "v0", protocol: 157 },
});

function routes(box: Sandbox): string[] {
  const table = inNetns(box.netns, observeRouteTable);
  const all = Array.from({ length: table.count }, (_, at) => table.at(at));
  return all.filter(({ protocol }) => protocol === 157).map(({ dst }) => formatPrefix(dst));
}

describe("running each step", () => {
  test("goes on behind bad ones, and tells each with its command", async () => {
    const box = nodeWith([]);
    const failures = await runEach(box, [
      route("10.1.0.0/16", "10.0.0.9"),
      route("10.2.0.0/16", "192.0.2.1"),
      { op: "link.del", name: "nosuch" },
      route("fd01::/64", "fd00::9"),
      { op: "route.del", route: { dst: prefix("10.3.0.0/16"), dev: "v0" } },
      route("10.4.0.0/16", "10.0.0.9"),
    ]);
    expect(failures).toEqual([
      "ip route replace 10.2.0.0/16 via 192.0.2.1 dev v0 proto 157: Error: Nexthop has invalid gateway.",
      'ip link del dev nosuch: Cannot find device "nosuch"',
      "ip route del 10.3.0.0/16 dev v0: RTNETLINK answers: No such process",
    ]);
    expect(routes(box).sort()).toEqual(["10.1.0.0/16", "10.4.0.0/16", "fd01::/64"]);
  });

  test("goes on behind words at which `ip` ends, and tells only the step that had them", async () => {
    const box = nodeWith(["route add 10.9.0.0/16 via 10.0.0.9 dev v0 proto 157"]);
    const operations = [
      route("10.1.0.0/16", "10.0.0.9"),
      { op: "route.del", route: { dst: prefix("10.9.0.0/16"), dev: "v0" } },
      // A number that `ip` refuses by itself, and ends: the batch as well.
      { op: "route.replace", route: { dst: prefix("10.2.0.0/16"), dev: "v0", metric: 2 ** 40 } },
      route("10.3.0.0/16", "192.0.2.1"),
      route("10.4.0.0/16", "10.0.0.9"),
    ] satisfies Operation[];
    const failures = await runEach(box, operations);
    expect(failures.map((text) => text.slice(0, 32))).toEqual([
      "ip route replace 10.2.0.0/16 dev",
      "ip route replace 10.3.0.0/16 via",
    ]);
    expect(failures[0]).toContain('"metric" value is invalid');
    expect(routes(box).sort()).toEqual(["10.1.0.0/16", "10.4.0.0/16"]);
  });

  test("removes routes that lead nowhere, by what the table shows of them", async () => {
    const box = nodeWith([
      "route add blackhole 10.1.0.0/16 proto 157",
      "route add unreachable fd01::/64 proto 157 metric 7",
      "route add 10.2.0.0/16 proto 157 nexthop via 10.0.0.9 dev v0 nexthop via 10.0.0.10 dev v0",
    ]);
    const gone = (dst: string, more: Partial<RouteSpec>): Operation => ({
      op: "route.del",
      route: { dst: prefix(dst), dev: "", protocol: 157, ...more },
    });
    expect(routes(box)).toHaveLength(3);
    const failures = await runEach(box, [
      gone("10.1.0.0/16", { type: "blackhole" }),
      gone("fd01::/64", { type: "unreachable", metric: 7 }),
      gone("10.2.0.0/16", { dev: "v0", via: address("10.0.0.9") }),
    ]);
    expect([failures, routes(box)]).toEqual([[], []]);
  });

  test("leaves out what could not stand in a batch, and tells it", async () => {
    const box = nodeWith([]);
    const failures = await runEach(box, [
      route("10.1.0.0/16", "10.0.0.9"),
      { op: "link.del", name: "a#b" },
      route("10.2.0.0/16", "10.0.0.9"),
    ]);
    expect(failures).toEqual(['link.del: word "a#b" can\'t stand in an ip batch']);
    expect(routes(box).sort()).toEqual(["10.1.0.0/16", "10.2.0.0/16"]);
  });

  test("makes a tunnel with its peers, and takes them away", async () => {
    const box = nodeWith([]);
    const [dev, mac] = ["minicni.vxlan", "0e:00:00:00:00:02"];
    const seen = () => {
      const index = inNetns(box.netns, () => observeLink(dev))?.index ?? 0;
      return inNetns(box.netns, () => ({
        forwarding: observeForwarding(index).map((it) => `${it.mac} ${formatAddress(it.dst)}`),
        neighbours: observeNeighbours(index).map((it) => `${formatAddress(it.address)} ${it.mac}`),
        txChecksum: observeTxChecksum(dev),
      }));
    };
    const link = {
      kind: "vxlan",
      name: dev,
      mac: "0e:00:00:00:00:01",
      mtu: 1450,
      vni: 157,
      port: 8472,
    } as const;
    const peer = { dev, mac } as const;
    expect(
      await runEach(box, [
        { op: "link.add", link: { ...link, local: address("10.0.0.1") } },
        { op: "link.set", name: dev, set: { addrgenmode: "none" } },
        { op: "link.set", name: dev, set: { up: true } },
        { op: "link.offload", name: dev, txChecksum: false },
        { op: "fdb.replace", ...peer, dst: address("10.0.0.8") },
        { op: "fdb.replace", ...peer, dst: address("10.0.0.9") },
        { op: "neigh.replace", ...peer, address: address("10.5.0.0") },
        { op: "neigh.replace", ...peer, address: address("fd05::") },
        {
          op: "route.replace",
          route: { dst: prefix("10.5.0.0/24"), via: address("10.5.0.0"), dev, onlink: true, protocol: 157 },
        },
        {
          op: "route.replace",
          route: { dst: prefix("fd05::/64"), via: address("fd05::"), dev, onlink: true, protocol: 157 },
        },
      ]),
    ).toEqual([]);
    expect(seen()).toEqual({
      forwarding: [`${mac} 10.0.0.9`],
      neighbours: [`10.5.0.0 ${mac}`, `fd05:: ${mac}`],
      txChecksum: false,
    });
    const asked = [address("10.5.0.7"), address("fd05::7")];
    const index = inNetns(box.netns, () => observeLink(dev))?.index;
    expect(inNetns(box.netns, () => lookupRoutes(asked))).toMatchObject([
      { gateway: address("10.5.0.0"), ifindex: index },
      { gateway: address("fd05::"), ifindex: index },
    ]);
    expect(
      await runEach(box, [
        { op: "fdb.del", ...peer, dst: address("10.0.0.9") },
        { op: "neigh.del", ...peer, address: address("10.5.0.0") },
        { op: "neigh.del", ...peer, address: address("fd05::") },
        { op: "fdb.del", ...peer, dst: address("10.0.0.9") },
      ]),
    ).toEqual([
      `bridge fdb del ${mac} dev ${dev} dst 10.0.0.9 self: RTNETLINK answers: No such file or directory`,
    ]);
    expect(seen()).toMatchObject({ forwarding: [], neighbours: [] });
  });

  test("goes on behind sysctls that are not there or refuse their value", async () => {
    const box = nodeWith([]);
    const sysctl = (key: string, value: string, optional = false): Operation => ({
      op: "sysctl.set",
      key,
      value,
      optional,
    });
    const failures = await runEach(box, [
      sysctl("net/ipv4/conf/nosuch/rp_filter", "2"),
      sysctl("net/ipv6/conf/nosuch/accept_ra", "0", true),
      sysctl("net/ipv4/conf/v0/rp_filter", "many"),
      sysctl("net/ipv4/conf/v0/rp_filter", "2"),
    ]);
    expect(failures).toEqual([
      expect.stringMatching(/^sysctl -w net\.ipv4\.conf\.nosuch\.rp_filter=2: .*ENOENT/),
      expect.stringMatching(/^sysctl -w net\.ipv4\.conf\.v0\.rp_filter=many: .*EINVAL/),
    ]);
    expect(box.node("cat", "/proc/sys/net/ipv4/conf/v0/rp_filter")).toBe("2\n");
  });

  test("tells every kind of tool's refusal, and each step of a batch that could not begin", async () => {
    const box = nodeWith([]);
    const failures = await runEach(box, [
      { op: "rules.restore", family: 4, lines: ["*filter", "-A NOSUCH -j ACCEPT", "COMMIT"] },
      { op: "link.offload", name: "nosuch", txChecksum: false },
      route("10.1.0.0/16", "10.0.0.9"),
    ]);
    expect(failures).toEqual([
      expect.stringMatching(/^iptables-restore --noflush[\s\S]*: .*fail/i),
      'ethtool -K nosuch tx-checksum-ip-generic off: Cannot find device "nosuch"',
    ]);
    const lost = ["a", "b"].map(
      (name): Step => ({ op: "link.del", name, netns: "/run/netns/nosuch", why: "a test" }),
    );
    expect((await executeEach(lost, NEVER)).map(({ message }) => message)).toEqual([
      expect.stringContaining("/run/netns/nosuch"),
      expect.stringContaining("/run/netns/nosuch"),
    ]);
    expect(routes(box)).toEqual(["10.1.0.0/16"]);
  });

  test("ends when its time is over", async () => {
    const box = nodeWith([]);
    const step: Step = { ...route("10.1.0.0/16", "10.0.0.9"), netns: box.netns, why: "a test" };
    await expect(executeEach([step], { ...NEVER, deadline: createDeadline(0) })).rejects.toBeInstanceOf(
      OverdueError,
    );
    expect(routes(box)).toEqual([]);
  });
});
