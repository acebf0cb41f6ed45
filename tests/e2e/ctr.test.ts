import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { NO_ATTACHMENTS } from "./attachments.ts";
import { type Container, Containerd } from "./containerd.ts";

setDefaultTimeout(20_000);

const NETWORK = "minicni-e2e";
const GATEWAYS = ["10.88.7.1", "fd88::1"];
const CONFLIST = {
  cniVersion: "1.0.0",
  name: NETWORK,
  plugins: [
    {
      type: "minicni",
      bridge: "mce2e0",
      isDefaultGateway: true,
      ipam: { type: "minicni", ranges: [[{ subnet: "10.88.7.0/24" }], [{ subnet: "fd88::/64" }]] },
    },
  ],
};

let containerd: Containerd;
beforeAll(async () => {
  containerd = await Containerd.start(CONFLIST);
});
afterAll(async () => {
  await containerd?.stop();
});

// Where libcni keeps each ADD's result until a DEL succeeds.
const RESULTS = "/var/lib/cni/results";

/** Addresses of eth0 with a global scope, as busybox tells them. */
function addresses(container: Container): string[] {
  const shown = container.exec("ip", "-o", "addr", "show", "dev", "eth0").stdout;
  return [...shown.matchAll(/inet6? (\S+).*scope global/g)].map(([, address]) => address ?? "");
}

function expectPing(container: Container, address: string): void {
  const { exitCode, stdout, stderr } = container.exec("ping", "-c", "1", "-W", "2", address);
  expect({ address, exitCode, output: exitCode === 0 ? "" : stdout + stderr }).toEqual({
    address,
    exitCode: 0,
    output: "",
  });
}

describe("ctr run --cni under containerd and runc", () => {
  let first: Container;
  let second: Container;

  test("a container gets its addresses and default routes and reaches the gateway", async () => {
    first = await containerd.runContainer("c1");
    expect(addresses(first)).toEqual(["10.88.7.2/24", "fd88::2/64"]);
    expect(first.exec("ip", "route").stdout).toContain("default via 10.88.7.1 dev eth0");
    expect(first.exec("ip", "-6", "route").stdout).toContain("default via fd88::1 dev eth0");
    for (const gateway of GATEWAYS) expectPing(first, gateway);
    const held = { veths: 1, reservations: ["10.88.7.2", "fd88::2"], records: 1 };
    expect(containerd.attachments(NETWORK)).toEqual(held);
  });

  test("a second container gets others, and the two reach each other", async () => {
    second = await containerd.runContainer("c2");
    expect(addresses(second)).toEqual(["10.88.7.3/24", "fd88::3/64"]);
    for (const address of [...GATEWAYS, "10.88.7.2", "fd88::2"]) expectPing(second, address);
    for (const address of ["10.88.7.3", "fd88::3"]) expectPing(first, address);
    expect(containerd.attachments(NETWORK)).toMatchObject({ veths: 2, records: 2 });
    expect(containerd.containers()).toEqual(["c1", "c2"]);
    expect(containerd.files(RESULTS)).toHaveLength(2);
  });

  test("removing one takes its own and leaves the other connected", async () => {
    expect(await first.remove()).toEqual({ exitCode: 137, stderr: "" });
    const held = { veths: 1, reservations: ["10.88.7.3", "fd88::3"], records: 1 };
    expect(containerd.attachments(NETWORK)).toEqual(held);
    for (const gateway of GATEWAYS) expectPing(second, gateway);
  });

  test("removing the last leaves nothing", async () => {
    expect(await second.remove()).toEqual({ exitCode: 137, stderr: "" });
    expect(containerd.containers()).toEqual([]);
    expect(containerd.attachments(NETWORK)).toEqual(NO_ATTACHMENTS);
    expect(containerd.files(RESULTS)).toEqual([]);
  });
});
