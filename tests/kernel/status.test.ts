import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { BRIDGE, destroySandboxes, type Json, NOTHING, type Pod, run, Sandbox } from "./sandbox.ts";
import { errorOf, type Finished } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const SILENT = { exitCode: 0, stdout: "", stderr: "" };
const NODE = { podCidrs: ["10.7.0.0/24", "fd00:7::/64"], clusterCidrs: [], ready: true };

/** STATUS with no more than it may need (SPEC §2). */
function status(box: Sandbox, conf: Json = box.conf(), path = process.env.PATH ?? ""): Finished {
  const env = { CNI_COMMAND: "STATUS", CNI_PATH: "/opt/cni/bin", PATH: path };
  return run(box.argv(), { stdin: JSON.stringify(conf), env });
}

function publish(box: Sandbox, node: Json): void {
  mkdirSync(box.stateDir, { recursive: true });
  writeFileSync(`${box.stateDir}/node.json`, JSON.stringify(node));
}

function refusal(done: Finished, code: 50 | 51): string {
  const error = errorOf(done);
  expect(error.code).toBe(code);
  expect(error.cniVersion).toBe("1.1.0");
  return `${error.msg}: ${error.details}`;
}

const PROGRAMS = [
  "ip",
  "nft",
  ...["iptables", "ip6tables"].flatMap((tool) => [tool, `${tool}-save`, `${tool}-restore`]),
];

/** A folder of programs: those of the host but for some. */
function pathWithout(box: Sandbox, ...missing: string[]): string {
  const folder = `${box.dir}/bin`;
  mkdirSync(folder);
  for (const name of PROGRAMS) {
    const found = Bun.which(name);
    if (found !== null && !missing.includes(name)) symlinkSync(found, `${folder}/${name}`);
  }
  return folder;
}

/** Ports by one batch: both ends of each pair are in the bridge. */
function addPorts(box: Sandbox, count: number): void {
  const lines: string[] = [];
  for (let pair = 0; pair < count / 2; pair++) {
    lines.push(`link add p${pair}a master ${BRIDGE} type veth peer name p${pair}b`);
    if (2 * pair + 1 < count) lines.push(`link set p${pair}b master ${BRIDGE}`);
  }
  writeFileSync(`${box.dir}/batch`, `${lines.join("\n")}\n`);
  box.node("ip", "-batch", `${box.dir}/batch`);
}

function withPod(conf: (box: Sandbox) => Json = (box) => box.conf()): { box: Sandbox; pod: Pod } {
  const box = new Sandbox();
  const pod = box.pod();
  box.add(pod, conf(box));
  return { box, pod };
}

describe("STATUS, ready", () => {
  test("before the first pod, with pods and after the last: silent, and makes neither bridge nor rules", () => {
    const box = new Sandbox();
    const conf = box.conf({ ipMasq: true });
    expect(status(box, conf)).toEqual(SILENT);
    expect(box.links().map(({ ifname }) => ifname)).toEqual(["lo"]);
    expect(box.leftovers()).toEqual(NOTHING);
    const pod = box.pod();
    box.add(pod, conf);
    expect(status(box, conf)).toEqual(SILENT);
    expect(box.call("DEL", pod, conf).exitCode).toBe(0);
    box.node("ip", "link", "del", BRIDGE);
    expect(status(box, conf)).toEqual(SILENT);
  });

  test("without ipam once the agent published pod CIDRs", () => {
    const box = new Sandbox();
    const conf = box.conf({ ipam: undefined, ipMasq: true });
    expect(refusal(status(box, conf), 50)).toContain(`no ${box.stateDir}/node.json`);
    publish(box, { ...NODE, ready: false, reason: "the API server does not answer" });
    expect(refusal(status(box, conf), 50)).toContain("the API server does not answer");
    publish(box, { ...NODE, podCidrs: [] });
    expect(refusal(status(box, conf), 50)).toContain("names no pod CIDR");
  });

  test("a node.json that is no JSON is told, not crashed on", () => {
    const box = new Sandbox();
    publish(box, NODE);
    writeFileSync(`${box.stateDir}/node.json`, "{");
    const error = errorOf(status(box, box.conf({ ipam: undefined })));
    expect(`${error.msg} ${error.details}`).toContain("node.json is not a JSON object");
    expect([11, 50]).toContain(error.code);
  });

  test("as an IPAM plugin: asks for addresses only, no bridge", () => {
    const { box } = withPod();
    box.node("ip", "link", "del", BRIDGE);
    expect(status(box, box.conf({ type: "bridge" }, { type: "minicni" }))).toEqual(SILENT);
  });
});

describe("STATUS, not ready (50)", () => {
  for (const [family, subnet, told] of [
    ["IPv4", "10.7.0.0/30", "10.7.0.1-10.7.0.2"],
    ["IPv6", "fd00:7::/126", "fd00:7::1-fd00:7::3"],
  ] as const) {
    test(`an exhausted range of ${family}; ready again after a DEL`, () => {
      const box = new Sandbox();
      const conf = box.conf({}, { ranges: [[{ subnet: "10.9.0.0/24" }], [{ subnet }]], routes: [] });
      const pods = family === "IPv4" ? box.pods(1) : box.pods(2);
      for (const pod of pods) {
        expect(status(box, conf)).toEqual(SILENT);
        box.add(pod, conf);
      }
      expect(refusal(status(box, conf), 50)).toContain(`no IP addresses available in range set: ${told}`);
      expect(errorOf(box.call("ADD", box.pod(), conf)).code).toBe(11);
      for (const pod of pods) box.call("DEL", pod, conf);
      expect(status(box, conf)).toEqual(SILENT);
    });
  }

  for (const what of ["dataDir", "stateDir"] as const) {
    test(`a ${what} that can't be written`, () => {
      const box = new Sandbox();
      mkdirSync(box[what]);
      box.mountReadOnly(box[what]);
      const told = refusal(status(box), 50);
      expect(told).toContain(box[what]);
      expect(told).toMatch(/read-only/i);
    });
  }

  test("a dataDir that is a file", () => {
    const box = new Sandbox();
    writeFileSync(box.dataDir, "");
    expect(refusal(status(box), 50)).toContain(box.dataDir);
  });

  test("programs that the configuration needs; no others", () => {
    for (const [missing, overrides] of [
      ["ip", { executor: "iproute2" }],
      ["iptables", { ipMasq: true, ipMasqBackend: "iptables" }],
      ["ip6tables", { ipMasq: true }],
      ["iptables-restore", { ipMasq: true }],
      ["nft", { macspoofchk: true }],
      ["nft", { ipMasq: true, ipMasqBackend: "nftables" }],
    ] as const) {
      const box = new Sandbox();
      const path = pathWithout(box, missing);
      expect(refusal(status(box, box.conf(overrides), path), 50)).toContain(`not found: ${missing}`);
      expect(status(box, box.conf(), path)).toEqual(SILENT);
    }
  });

  test("without iptables, masquerading by nft alone is ready", () => {
    const box = new Sandbox();
    const path = pathWithout(box, "iptables", "ip6tables", "iptables-save", "ip6tables-save");
    expect(status(box, box.conf({ ipMasq: true }), path)).toEqual(SILENT);
  });

  test("a binary that can't be run is as good as none", () => {
    const box = new Sandbox();
    const path = pathWithout(box, "nft");
    writeFileSync(`${path}/nft`, "");
    chmodSync(`${path}/nft`, 0o644);
    expect(refusal(status(box, box.conf({ macspoofchk: true }), path), 50)).toContain("not found: nft");
  });
});

describe("a bridge that fills up", () => {
  test("STATUS keeps 16 ports in reserve, ADD uses them; on a full bridge ADD says so and leaves nothing", () => {
    const { box, pod } = withPod();
    addPorts(box, 1006);
    expect(status(box)).toEqual(SILENT);
    const last = box.pod();
    box.add(last);
    const told = refusal(status(box), 50);
    expect(told).toContain(`bridge ${BRIDGE} has 1008 of the 1023 ports`);
    expect(box.pings(last.netns, "10.7.0.1")).toBe(true);
    const before = box.leftovers();

    const second = new Array(15).fill(0).map((_, index) => `link add q${index} master ${BRIDGE} type veth`);
    writeFileSync(`${box.dir}/batch`, `${second.join("\n")}\n`);
    box.node("ip", "-batch", `${box.dir}/batch`);
    const late = box.pod();
    const error = errorOf(box.call("ADD", late, box.conf({ macspoofchk: true })));
    expect(error.code).toBe(11);
    expect(error.msg).toMatch(/bridge br0 has all the 1023 ports that Linux gives it: no room for mcni/);
    expect(box.leftovers()).toEqual(before);
    expect(box.links(late.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
    expect(box.node("nft", "list", "ruleset", "bridge")).not.toContain("mcni");
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
    box.call("DEL", last);
    box.add(late);
  });
});

describe("STATUS, pods can't be reached (51)", () => {
  for (const [what, told, damage] of [
    ["the bridge is gone", /bridge br0 is missing/, ["ip", "link", "del", BRIDGE]],
    ["the bridge is down", /bridge br0 is down/, ["ip", "link", "set", BRIDGE, "down"]],
    ["IPv4 forwarding is off", /IPv4 forwarding is off/, ["sysctl", "-qw", "net.ipv4.ip_forward=0"]],
    ["IPv6 forwarding is off", /IPv6 forwarding is off/, ["sysctl", "-qw", "net.ipv6.conf.all.forwarding=0"]],
  ] as const) {
    test(`${what}: told while there are pods, and 51 when no ADD could be served besides`, () => {
      const { box, pod } = withPod();
      box.node(...damage);
      const done = status(box);
      expect([done.exitCode, done.stdout]).toEqual([0, ""]);
      expect(done.stderr).toMatch(told);
      const full = box.conf({}, { ranges: [[{ subnet: "10.7.0.0/30" }]] });
      expect(refusal(status(box, full), 51)).toMatch(told);
      expect(box.call("DEL", pod).exitCode).toBe(0);
      expect(status(box)).toEqual(SILENT);
      box.add(box.pod());
      expect(status(box)).toEqual(SILENT);
    });
  }

  test("forwarding off is nobody's fault where the bridge is no gateway", () => {
    const conf = (box: Sandbox) => box.conf({ isGateway: false }, { routes: [] });
    const { box } = withPod(conf);
    box.node("sysctl", "-qw", "net.ipv4.ip_forward=0");
    expect(status(box, conf(box))).toEqual(SILENT);
  });
});
