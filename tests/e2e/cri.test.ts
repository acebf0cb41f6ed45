import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { NO_ATTACHMENTS } from "./attachments.ts";
import { Cri, criFault } from "./cri.ts";

setDefaultTimeout(30_000);

const FAULT = criFault();
if (FAULT !== null) process.stderr.write(`skipped: containerd's CRI: ${FAULT}\n`);

const NETWORK = "mccri";
const PORT = 8086;
const FOR_TWO = { subnet: "10.93.7.0/24", rangeStart: "10.93.7.2", rangeEnd: "10.93.7.3" };
// Ours says nothing of what the plugins behind it are to do. Its capabilities are not ours: containerd has a spelling of
// its own, and null for what a pod does not ask for.
const CONFLIST = {
  cniVersion: "1.0.0",
  name: NETWORK,
  plugins: [
    {
      type: "minicni",
      bridge: "mccri0",
      isDefaultGateway: true,
      ipMasq: true,
      capabilities: { dns: true, "io.kubernetes.cri.pod-annotations": true },
      ipam: { type: "minicni", ranges: [[FOR_TWO], [{ subnet: "fd93::/64" }]] },
    },
    { type: "portmap", capabilities: { portMappings: true } },
    { type: "bandwidth", capabilities: { bandwidth: true } },
  ],
};

let cri: Cri;
beforeAll(async () => {
  if (FAULT === null) cri = await Cri.start(CONFLIST);
});
afterAll(async () => {
  await cri?.machine.stop();
});

async function expectPing(container: string, address: string): Promise<void> {
  const { exitCode } = await cri.exec(container, "ping", "-c", "1", "-W", "2", address);
  expect({ address, exitCode }).toEqual({ address, exitCode: 0 });
}

describe.skipIf(FAULT !== null)("pods under containerd's CRI", () => {
  const pods: string[] = [];
  const servers: string[] = [];

  test("the network is ready with our list alone", async () => {
    expect(await cri.networkReady()).toBe(true);
  });

  test("a pod's status tells its addresses, IPv4 first, and its containers have them", async () => {
    const pod = await cri.runNamed("first", {
      annotations: { "kubernetes.io/ingress-bandwidth": "80M" },
      hostPort: PORT,
    });
    pods.push(pod);
    expect(await cri.podStatus(pod)).toEqual({ ready: true, ips: ["10.93.7.2", "fd93::2"] });
    const server = await cri.runServer(pod);
    servers.push(server);
    const shown = (await cri.exec(server, "ip", "-o", "addr", "show", "dev", "eth0")).stdout;
    expect(shown).toContain("inet 10.93.7.2/24");
    expect(shown).toContain("inet6 fd93::2/64");
    for (const gateway of ["10.93.7.1", "fd93::1"]) await expectPing(server, gateway);
  });

  test("its host port answers", () => {
    const script = `process.stdout.write(await (await fetch(process.argv[1])).text())`;
    const url = `http://10.93.7.1:${PORT}/hostname`;
    expect(cri.machine.must([process.execPath, "-e", script, url]).trim()).toBe("first");
  });

  test("the bandwidth of its annotation is set on our host-side veth", () => {
    expect(cri.machine.must(["tc", "qdisc", "show"])).toMatch(/tbf .*dev mcni.* rate 80Mbit/);
  });

  test("two pods reach each other", async () => {
    const pod = await cri.runNamed("second");
    pods.push(pod);
    expect((await cri.podStatus(pod)).ips).toEqual(["10.93.7.3", "fd93::3"]);
    const server = await cri.runServer(pod);
    servers.push(server);
    for (const address of ["10.93.7.2", "fd93::2"]) await expectPing(server, address);
    for (const address of ["10.93.7.3", "fd93::3"]) await expectPing(servers[0] ?? "", address);
    expect(cri.machine.attachments(NETWORK)).toMatchObject({ veths: 2, records: 2 });
  });

  test("a third finds no address: the kubelet is told, and nothing of the attempt is left", async () => {
    const before = { attached: cri.machine.attachments(NETWORK), rules: cri.machine.rules() };
    await expect(cri.runNamed("third", { hostPort: PORT + 1 })).rejects.toThrow(
      "no IP addresses available in range set: 10.93.7.2-10.93.7.3",
    );
    expect({ attached: cri.machine.attachments(NETWORK), rules: cri.machine.rules() }).toEqual(before);
    expect((await cri.pods()).sort()).toEqual([...pods].sort());
  });

  test("stopping one gives back what is its, as often as the kubelet asks", async () => {
    const [first = ""] = pods;
    await cri.stopPod(first);
    await cri.stopPod(first);
    expect((await cri.podStatus(first)).ready).toBe(false);
    expect(cri.machine.attachments(NETWORK)).toEqual({
      veths: 1,
      reservations: ["10.93.7.3", "fd93::3"],
      records: 1,
    });
    for (const gateway of ["10.93.7.1", "fd93::1"]) await expectPing(servers[1] ?? "", gateway);
  });

  test("a pod whose namespace vanished is stopped all the same", async () => {
    const [, second = ""] = pods;
    for (const name of cri.machine.must(["ls", "/run/netns"]).split("\n"))
      if (name.startsWith("cni-")) cri.machine.must(["ip", "netns", "del", name]);
    await cri.stopPod(second);
    expect(cri.machine.attachments(NETWORK)).toEqual(NO_ATTACHMENTS);
  });

  test("after both are removed nothing is left", async () => {
    for (const pod of pods) await cri.removePod(pod);
    expect(await cri.pods()).toEqual([]);
    expect(cri.machine.attachments(NETWORK)).toEqual(NO_ATTACHMENTS);
    expect(cri.machine.rules()).not.toMatch(/CNI-DN-|--dport 8086|10\.93\.7\.\d+\/32/);
    expect(cri.machine.files("/var/lib/cni/results")).toEqual([]);
  });
});
