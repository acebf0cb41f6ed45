import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import type { Finished, ResultView } from "../kernel/views.ts";
import { NO_ATTACHMENTS } from "./attachments.ts";
import { goTool } from "./gotool.ts";
import { Machine } from "./machine.ts";

setDefaultTimeout(30_000);

const TOOL = await goTool("cnitool", "github.com/containernetworking/cni/cnitool@v1.3.0");
if (TOOL.fault !== undefined) process.stderr.write(`skipped: cnitool: ${TOOL.fault}\n`);

const NETWORK = "mctool";
const SMALL = "mcsmall";
const PODS = ["a", "b", "c"];
const RESULTS = "/var/lib/cni/results";
const plugin = (bridge: string, ...ranges: unknown[]) => ({
  type: "minicni",
  bridge,
  isDefaultGateway: true,
  ipMasq: true,
  capabilities: { ips: true, mac: true },
  ipam: { type: "minicni", ranges },
});
const NETWORKS = [
  {
    cniVersion: "1.1.0",
    name: NETWORK,
    plugins: [plugin("mct0", [{ subnet: "10.91.7.0/24" }], [{ subnet: "fd91::/64" }])],
  },
  {
    // The runtime takes the highest that it knows itself.
    cniVersion: "0.4.0",
    cniVersions: ["0.4.0", "1.0.0", "1.1.0"],
    name: SMALL,
    plugins: [plugin("mct1", [{ subnet: "10.92.7.0/24", rangeStart: "10.92.7.9", rangeEnd: "10.92.7.9" }])],
  },
];

let machine: Machine;
beforeAll(async () => {
  if (TOOL.fault !== undefined) return;
  machine = new Machine();
  mkdirSync(`${machine.work}/net.d`);
  for (const network of NETWORKS)
    writeFileSync(`${machine.work}/net.d/${network.name}.conflist`, JSON.stringify(network));
  await machine.start(`for pod in ${PODS.join(" ")}; do ip netns add $pod; done`);
});
afterAll(async () => {
  await machine?.stop();
});

// So that one test's failure is not the next one's.
afterEach(() => {
  if (TOOL.path === undefined) return;
  for (const pod of PODS) for (const { name } of NETWORKS) cnitool("del", name, pod);
});

function cnitool(command: string, network: string, pod: string, capabilityArgs = {}): Finished {
  return machine.run([TOOL.path ?? "", command, network, `/run/netns/${pod}`], {
    NETCONFPATH: `${machine.work}/net.d`,
    CNI_PATH: machine.plugins,
    CAP_ARGS: JSON.stringify(capabilityArgs),
  });
}

function expectSuccess(command: string, network: string, pod: string): void {
  const { exitCode, stderr } = cnitool(command, network, pod);
  expect({ command, exitCode, stderr }).toEqual({ command, exitCode: 0, stderr: "" });
}

function add(network: string, pod: string, capabilityArgs = {}): ResultView {
  const { exitCode, stdout, stderr } = cnitool("add", network, pod, capabilityArgs);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  const result: ResultView = JSON.parse(stdout);
  return result;
}

function expectFailure(command: string, network: string, pod: string, told: RegExp): void {
  const { exitCode, stderr } = cnitool(command, network, pod);
  expect({ command, exitCode }).toEqual({ command, exitCode: 1 });
  expect(stderr).toMatch(told);
}

const inPod = (pod: string, ...argv: string[]) => machine.must(["ip", "netns", "exec", pod, ...argv]);
const linksOf = (pod: string) =>
  [...inPod(pod, "ip", "-o", "link").matchAll(/^\d+: ([^:@]+)/gm)].map(([, n]) => n);
const hostVeth = () =>
  /\bmcni[^@:]*/.exec(machine.must(["ip", "-o", "link", "show", "type", "veth"]))?.[0] ?? "";
/** As after a crash or a cleaned disk: the runtime knows nothing of its attachments any more. */
const forget = () => machine.must(["rm", "-rf", RESULTS]);

describe.skipIf(TOOL.fault !== undefined)("cnitool", () => {
  test("add attaches, check agrees, del leaves nothing and may be repeated", () => {
    expect(add(NETWORK, "a")).toMatchObject({
      cniVersion: "1.1.0",
      ips: [{ address: "10.91.7.2/24" }, { address: "fd91::2/64" }],
    });
    add(NETWORK, "b");
    for (const address of ["10.91.7.1", "fd91::1", "10.91.7.3", "fd91::3"])
      inPod("a", "ping", "-c", "1", "-W", "2", "-q", address);
    for (const pod of ["a", "b"]) expectSuccess("check", NETWORK, pod);
    expect(machine.attachments(NETWORK)).toMatchObject({ veths: 2, records: 2 });
    for (const pod of ["a", "b", "a"]) expectSuccess("del", NETWORK, pod);
    expect(machine.attachments(NETWORK)).toEqual(NO_ATTACHMENTS);
    expect(linksOf("a")).toEqual(["lo"]);
    expect(machine.files(RESULTS)).toEqual([]);
  });

  test("check tells what is no longer as it was made", () => {
    const address = add(NETWORK, "a").ips[0]?.address ?? "";
    inPod("a", "ip", "addr", "del", address, "dev", "eth0");
    expectFailure("check", NETWORK, "a", new RegExp(address));
    expectSuccess("del", NETWORK, "a");
    expect(machine.attachments(NETWORK)).toEqual(NO_ATTACHMENTS);
  });

  test("CAP_ARGS: the address and the MAC that were asked for", () => {
    const mac = "02:00:5e:00:53:11";
    const result = add(NETWORK, "a", { ips: ["10.91.7.50/24"], mac });
    expect(result.ips[0]?.address).toBe("10.91.7.50/24");
    expect(result.interfaces.find(({ sandbox }) => sandbox)?.mac).toBe(mac);
    expectSuccess("check", NETWORK, "a");
    expectSuccess("del", NETWORK, "a");
  });

  test("of several cniVersions the newest is spoken", () => {
    expect(add(SMALL, "c").cniVersion).toBe("1.1.0");
    expectSuccess("del", SMALL, "c");
  });
});

describe.skipIf(TOOL.fault !== undefined)("cnitool status", () => {
  test("is ready before the first pod and beside one", () => {
    expectSuccess("status", NETWORK, "a");
    add(NETWORK, "a");
    expectSuccess("status", NETWORK, "a");
    expectSuccess("del", NETWORK, "a");
  });

  test("is not ready while the range is exhausted", () => {
    expectSuccess("status", SMALL, "c");
    add(SMALL, "c");
    expectFailure("status", SMALL, "c", /no IP addresses available in range set: 10\.92\.7\.9-10\.92\.7\.9/);
    expectSuccess("del", SMALL, "c");
    expectSuccess("status", SMALL, "c");
  });

  test("stays ready when a pod's bridge is gone: the next pod brings it back", () => {
    add(NETWORK, "a");
    machine.must(["ip", "link", "del", "mct0"]);
    const { exitCode, stderr } = cnitool("status", NETWORK, "a");
    expect(exitCode).toBe(0);
    expect(stderr).toContain("bridge mct0 is missing");
    add(NETWORK, "b");
    expectSuccess("del", NETWORK, "b");
    expectSuccess("del", NETWORK, "a");
    expect(machine.attachments(NETWORK)).toEqual(NO_ATTACHMENTS);
  });
});

describe.skipIf(TOOL.fault !== undefined)("cnitool gc", () => {
  test("takes every attachment of this network that the runtime knows, and no other's", () => {
    add(NETWORK, "a");
    add(NETWORK, "b");
    add(SMALL, "c");
    expectSuccess("gc", NETWORK, "a");
    expect(machine.attachments(NETWORK)).toMatchObject({ reservations: [], records: 0 });
    expect(linksOf("a")).toEqual(["lo"]);
    expectSuccess("check", SMALL, "c");
    expectSuccess("del", SMALL, "c");
    expect(machine.attachments(SMALL)).toEqual(NO_ATTACHMENTS);
  });

  test("takes what is provably dead although the runtime has forgotten it", () => {
    add(NETWORK, "a");
    machine.must(["ip", "link", "del", hostVeth()]);
    forget();
    expectSuccess("gc", NETWORK, "a");
    expect(machine.attachments(NETWORK)).toEqual(NO_ATTACHMENTS);
  });

  test("leaves alone what lives although the runtime has forgotten it", () => {
    add(NETWORK, "a");
    forget();
    expectSuccess("gc", NETWORK, "a");
    inPod("a", "ping", "-c", "1", "-W", "2", "-q", "10.91.7.1");
    expect(machine.attachments(NETWORK)).toMatchObject({ veths: 1, records: 1 });
    expectSuccess("del", NETWORK, "a");
    expect(machine.attachments(NETWORK)).toEqual(NO_ATTACHMENTS);
  });
});
