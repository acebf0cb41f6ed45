import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { NO_ATTACHMENTS } from "./attachments.ts";
import { Podman, podmanFault } from "./podman.ts";

setDefaultTimeout(30_000);

const FAULT = podmanFault();
if (FAULT !== null) process.stderr.write(`skipped: podman: ${FAULT}\n`);

const NETWORK = "mcpodman";
const SECOND = "mcsecond";
const PORT = 8085;
// The newest version that this podman's libcni knows, and an older one that a user's file may still have.
const NETWORKS = [
  {
    cniVersion: "1.0.0",
    name: NETWORK,
    plugins: [
      {
        type: "minicni",
        bridge: "mcpod0",
        isDefaultGateway: true,
        ipMasq: true,
        capabilities: { ips: true, mac: true },
        ipam: { type: "minicni", ranges: [[{ subnet: "10.89.7.0/24" }], [{ subnet: "fd89::/64" }]] },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  },
  {
    cniVersion: "0.4.0",
    name: SECOND,
    plugins: [
      {
        type: "minicni",
        bridge: "mcpod1",
        ipam: { type: "minicni", ranges: [[{ subnet: "10.90.7.0/24" }]] },
      },
    ],
  },
];

let podman: Podman;
beforeAll(async () => {
  if (FAULT === null) podman = await Podman.start(NETWORKS);
});
afterAll(async () => {
  await podman?.machine.stop();
});

/** Addresses with a global scope, as the container's own `ip` tells them. */
function addresses(container: string, device = "eth0"): string[] {
  const shown = podman.must("exec", container, "ip", "-o", "addr", "show", "dev", device);
  return [...shown.matchAll(/inet6? (\S+).*scope global/g)].map(([, address]) => address ?? "");
}

function expectPing(container: string, address: string): void {
  const { exitCode } = podman.run("exec", container, "ping", "-c", "1", "-W", "2", address);
  expect({ container, address, exitCode }).toEqual({ container, address, exitCode: 0 });
}

/** Who answers on the host port, asked from the machine over TCP. */
function hostPort(): string {
  const script = `process.stdout.write(await (await fetch(process.argv[1])).text())`;
  return podman.machine.must([process.execPath, "-e", script, `http://10.89.7.1:${PORT}/hostname`]).trim();
}

describe.skipIf(FAULT !== null)("podman with its CNI backend", () => {
  test("takes our network for one of its own", () => {
    expect(podman.must("info", "--format", "{{.Host.NetworkBackend}}").trim()).toBe("cni");
    const listed = podman.must("network", "ls", "--format", "{{.Name}} {{.Driver}}").trim().split("\n");
    expect(listed).toEqual([`${NETWORK} minicni`, `${SECOND} minicni`]);
  });

  test("a container has the addresses that podman tells, and its host port answers", () => {
    podman.runContainer("c1", "-p", `${PORT}:80`);
    expect(addresses("c1")).toEqual(["10.89.7.2/24", "fd89::2/64"]);
    const format =
      "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}} {{.GlobalIPv6Address}}{{end}}";
    expect(podman.must("inspect", "--format", format, "c1").trim()).toBe("10.89.7.2 10.89.7.1 fd89::2");
    for (const gateway of ["10.89.7.1", "fd89::1"]) expectPing("c1", gateway);
    expect(hostPort()).toBe("c1");
  });

  test("two containers reach each other", () => {
    podman.runContainer("c2");
    expect(addresses("c2")).toEqual(["10.89.7.3/24", "fd89::3/64"]);
    for (const address of ["10.89.7.1", "fd89::1", "10.89.7.2", "fd89::2"]) expectPing("c2", address);
    for (const address of ["10.89.7.3", "fd89::3"]) expectPing("c1", address);
    expect(podman.machine.attachments(NETWORK)).toEqual({
      veths: 2,
      reservations: ["10.89.7.2", "10.89.7.3", "fd89::2", "fd89::3"],
      records: 2,
    });
  });

  test("an address and a MAC that the user asks for", () => {
    podman.runContainer("c3", "--ip", "10.89.7.77", "--mac-address", "02:00:5e:00:53:09");
    expect(addresses("c3")[0]).toBe("10.89.7.77/24");
    expect(podman.must("exec", "c3", "cat", "/sys/class/net/eth0/address").trim()).toBe("02:00:5e:00:53:09");
    expectPing("c3", "10.89.7.2");
    podman.must("rm", "-f", "-t", "0", "c3");
  });

  test("an address that another has: podman tells so, and nothing of the attempt is left", () => {
    const before = { attached: podman.machine.attachments(NETWORK), rules: podman.machine.rules() };
    expect(() => podman.runContainer("c5", "--ip", "10.89.7.2", "-p", "8087:80")).toThrow("10.89.7.2");
    podman.must("rm", "-f", "-t", "0", "c5");
    expect({ attached: podman.machine.attachments(NETWORK), rules: podman.machine.rules() }).toEqual(before);
  });

  test("a container on two networks has an interface on each", () => {
    const before = podman.machine.attachments(NETWORK);
    podman.runContainer("c4", "--network", NETWORK, "--network", SECOND);
    const found = [...addresses("c4", "eth0"), ...addresses("c4", "eth1")];
    expect(found.some((address) => address.startsWith("10.89.7."))).toBe(true);
    expect(found).toContain("10.90.7.2/24");
    for (const gateway of ["10.89.7.1", "10.90.7.1"]) expectPing("c4", gateway);
    podman.must("rm", "-f", "-t", "0", "c4");
    expect(podman.machine.attachments(NETWORK)).toEqual(before);
    expect(podman.machine.attachments(SECOND)).toEqual({ ...NO_ATTACHMENTS, veths: before.veths });
  });

  test("a restart attaches again", () => {
    podman.must("restart", "-t", "0", "c1");
    expect(addresses("c1")).toHaveLength(2);
    expectPing("c1", "10.89.7.3");
    expect(hostPort()).toBe("c1");
    expect(podman.machine.attachments(NETWORK)).toMatchObject({ veths: 2, records: 2 });
  });

  test("a reload of the network, as after a firewall's restart, keeps the addresses", () => {
    const before = addresses("c1");
    podman.must("network", "reload", "c1");
    expect(addresses("c1")).toEqual(before);
    expectPing("c1", "10.89.7.3");
    expect(hostPort()).toBe("c1");
    expect(podman.machine.attachments(NETWORK)).toMatchObject({ veths: 2, records: 2 });
  });

  test("after the last is removed nothing is left", () => {
    podman.must("rm", "-f", "-t", "0", "c1");
    for (const gateway of ["10.89.7.1", "fd89::1"]) expectPing("c2", gateway);
    podman.must("rm", "-f", "-t", "0", "c2");
    expect(podman.machine.attachments(NETWORK)).toEqual(NO_ATTACHMENTS);
    expect(podman.machine.rules()).not.toMatch(/CNI-DN-|--dport 8085|10\.89\.7\.\d+\/32/);
    expect(podman.machine.files("/var/lib/cni/results")).toEqual([]);
    expect(podman.must("ps", "-a", "-q")).toBe("");
  });
});
