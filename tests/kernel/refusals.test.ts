import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { BRIDGE, destroySandboxes, type Json, NOTHING, run, Sandbox } from "./sandbox.ts";
import { errorOf, type Finished } from "./views.ts";

setDefaultTimeout(20_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

interface Wanted {
  readonly code: number;
  /** Each has to be told, in the message or the details. */
  readonly told: readonly string[];
  readonly cniVersion?: string;
}

/** A refusal: non-zero exit, one JSON document with version, code and message, and nothing left behind. */
function expectRefusal(box: Sandbox, done: Finished, { code, told, cniVersion = "1.1.0" }: Wanted): void {
  const error = errorOf(done);
  expect(done.stdout.endsWith("}\n")).toBe(true);
  expect(error).toMatchObject({ cniVersion, code });
  expect(error.msg.length).toBeGreaterThan(0);
  for (const text of told) expect(`${error.msg} | ${error.details ?? ""}`).toContain(text);
  expect(box.leftovers()).toEqual(NOTHING);
}

describe("a bad environment", () => {
  test("missing variables are named all at once", () => {
    const box = new Sandbox();
    const add = run(box.argv(), { env: { CNI_COMMAND: "ADD" } });
    const missing = "[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH]";
    expectRefusal(box, add, { code: 4, told: [missing], cniVersion: "1.1.0" });
    const del = run(box.argv(), { env: { CNI_COMMAND: "DEL", CNI_NETNS: "" } });
    expectRefusal(box, del, {
      code: 4,
      told: ["[CNI_CONTAINERID,CNI_IFNAME,CNI_PATH]"],
      cniVersion: "1.1.0",
    });
  });

  const environments: readonly (readonly [string, Readonly<Record<string, string>>, readonly string[]])[] = [
    ["an unknown command", { CNI_COMMAND: "add" }, ["unknown CNI_COMMAND: add", "ADD, DEL, CHECK, GC"]],
    ["a container ID with a slash", { CNI_CONTAINERID: "../../etc" }, ["CNI_CONTAINERID=../../etc"]],
    ["a container ID that starts with a dash", { CNI_CONTAINERID: "-rf" }, ["CNI_CONTAINERID=-rf"]],
    ["a container ID with a line break", { CNI_CONTAINERID: "a\nb" }, ["invalid characters in containerID"]],
    ["a container ID of 300 characters", { CNI_CONTAINERID: "a".repeat(300) }, ["300", "220"]],
    ["an interface name of 16 bytes", { CNI_IFNAME: "a".repeat(16) }, ["too long", "a".repeat(16)]],
    ["an interface name with a slash", { CNI_IFNAME: "a/b" }, ["contains /", "CNI_IFNAME=a/b"]],
    ["an interface name with a blank", { CNI_IFNAME: "a b" }, ["whitespace", "CNI_IFNAME=a b"]],
    ["an interface name like an option", { CNI_IFNAME: "-all" }, ["CNI_IFNAME=-all"]],
    ["an interface name that starts a comment", { CNI_IFNAME: "#x" }, ["CNI_IFNAME=#x"]],
    ["the interface name ..", { CNI_IFNAME: ".." }, ["CNI_IFNAME=.."]],
  ];
  for (const [what, env, told] of environments) {
    test(`${what}: code 4`, () => {
      const box = new Sandbox();
      expectRefusal(box, box.call("ADD", box.pod(), box.conf(), env), { code: 4, told, cniVersion: "1.1.0" });
    });
  }
});

describe("a bad document on stdin", () => {
  const documents: readonly (readonly [string, string, Wanted])[] = [
    ["broken JSON", "{", { code: 6, told: ["network config"], cniVersion: "1.1.0" }],
    ["nothing", "", { code: 6, told: ["network config"], cniVersion: "1.1.0" }],
    ["null", "null", { code: 6, told: ["network config"], cniVersion: "1.1.0" }],
    ["an array", "[]", { code: 6, told: ["network config"], cniVersion: "1.1.0" }],
    ["two documents", "{}{}", { code: 6, told: ["network config"], cniVersion: "1.1.0" }],
  ];
  for (const [what, stdin, wanted] of documents) {
    test(`${what}: code ${wanted.code}`, () => {
      const box = new Sandbox();
      expectRefusal(box, box.call("ADD", box.pod(), stdin), wanted);
    });
  }
});

const ranges = (...sets: string[][]): Json => ({
  ranges: sets.map((set) => set.map((subnet) => ({ subnet }))),
});

describe("a bad configuration", () => {
  const confs: readonly (readonly [string, Json, Json, Wanted])[] = [
    ["a wrong type", { mtu: "1400" }, {}, { code: 6, told: ["mtu", "1400"] }],
    [
      "an unknown version",
      { cniVersion: "9.9.9" },
      {},
      { code: 1, told: ["9.9.9", "1.1.0"], cniVersion: "9.9.9" },
    ],
    ["no name", { name: "" }, {}, { code: 7, told: ["name"] }],
    ["a name with a slash", { name: "../x" }, {}, { code: 7, told: ["name=../x"] }],
    ["a VLAN beyond 4094", { vlan: 4095 }, {}, { code: 7, told: ["vlan=4095", "4094"] }],
    ["half a VLAN range", { vlanTrunk: [{ minID: 5 }] }, {}, { code: 7, told: ["maxID is missing"] }],
    [
      "an unknown backend",
      { ipMasq: true, ipMasqBackend: "ipfw" },
      {},
      { code: 2, told: ['ipMasqBackend="ipfw"'] },
    ],
    ["no such IPAM plugin", {}, { type: "nobody" }, { code: 7, told: ['"nobody"', "/opt/cni/bin"] }],
    ["an IPAM plugin elsewhere", {}, { type: "../dhcp" }, { code: 7, told: ["ipam.type=../dhcp"] }],
    ["hairpin with promisc", { hairpinMode: true, promiscMode: true }, {}, { code: 7, told: ["hairpin"] }],
    ["a bridge name too long", { bridge: "b".repeat(16) }, {}, { code: 7, told: ["b".repeat(16)] }],
    [
      "a bad MAC",
      { runtimeConfig: { mac: "01:00:00:00:00:01" } },
      {},
      { code: 7, told: ["01:00:00:00:00:01"] },
    ],
    ["a relative stateDir", { stateDir: "here" }, {}, { code: 7, told: ["stateDir=here"] }],
    ["no CIDR", {}, ranges(["pods"]), { code: 7, told: ["pods", "address/length"] }],
    ["host bits", {}, ranges(["10.7.0.5/24"]), { code: 7, told: ["10.7.0.5/24", "10.7.0.0"] }],
    ["a /31", {}, ranges(["10.7.0.0/31"]), { code: 7, told: ["10.7.0.0/31", "/30"] }],
    ["a /127", {}, ranges(["fd00:7::/127"]), { code: 7, told: ["fd00:7::/127", "/126"] }],
    [
      "overlap",
      {},
      ranges(["10.7.0.0/16"], ["10.7.1.0/24"]),
      { code: 7, told: ["10.7.0.0/16", "10.7.1.0/24"] },
    ],
    [
      "mixed families",
      {},
      ranges(["10.7.0.0/24", "fd00:7::/64"]),
      { code: 7, told: ["mixed address families"] },
    ],
    ["no range", {}, ranges(), { code: 7, told: ["no IP ranges"] }],
    [
      "a foreign gateway",
      {},
      { ranges: [[{ subnet: "10.7.0.0/24", gateway: "10.8.0.1" }]] },
      { code: 7, told: ["10.8.0.1", "10.7.0.0/24"] },
    ],
    ["a bad route", {}, { routes: [{ dst: "everywhere" }] }, { code: 7, told: ["everywhere"] }],
    [
      "a route the kernel refuses",
      {},
      { routes: [{ dst: "10.99.0.0/16", gw: "192.168.99.1" }] },
      { code: 999, told: ["10.99.0.0/16", "192.168.99.1"] },
    ],
  ];
  for (const [what, overrides, ipam, wanted] of confs) {
    test(`${what}: code ${wanted.code}`, () => {
      const box = new Sandbox();
      const pod = box.pod();
      const base = box.conf({}, ipam);
      expectRefusal(box, box.call("ADD", pod, { ...base, ...overrides }), wanted);
      expect(box.links(pod.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
    });
  }
});

describe("a machine that is in the way", () => {
  test("the interface is there already: code 4, and it stays", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.node("ip", "-n", pod.netns.replace("/run/netns/", ""), "link", "add", "eth0", "type", "bridge");
    const { address } = box.link("eth0", pod.netns);
    expectRefusal(box, box.call("ADD", pod), {
      code: 4,
      told: ["CNI_IFNAME=eth0 already exists", pod.netns],
    });
    expect(box.link("eth0", pod.netns).address).toBe(address);
  });

  test("the attachment is there but its record is lost: code 4, and the pod stays wired", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod);
    const before = { links: box.hostVeths(), reservations: box.reservations().sort() };
    rmSync(box.stateDir, { recursive: true });
    expect(errorOf(box.call("ADD", pod)).code).toBe(4);
    expect({ links: box.hostVeths(), reservations: box.reservations().sort() }).toEqual(before);
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
  });

  test("CNI_NETNS is the plugin's own namespace: code 8 for ADD and DEL", () => {
    const box = new Sandbox();
    for (const command of ["ADD", "DEL"]) {
      const done = box.call(command, { id: "own", netns: box.netns });
      expectRefusal(box, done, { code: 8, told: [`CNI_NETNS=${box.netns}`] });
    }
  });

  test("CNI_NETNS does not exist, or is a regular file or a folder: code 8", () => {
    const box = new Sandbox();
    const file = `${box.dir}/file`;
    writeFileSync(file, "");
    for (const netns of ["/run/netns/no-such", file, box.dir]) {
      const done = box.call("ADD", { id: "lost", netns });
      expectRefusal(box, done, { code: 8, told: [netns] });
      expect(box.links().map(({ ifname }) => ifname)).toEqual(["lo"]);
    }
  });

  test("CNI_NETNS is another kind of namespace: code 8, before the bridge is made", () => {
    const box = new Sandbox();
    const netns = "/proc/self/ns/uts";
    expectRefusal(box, box.call("ADD", { id: "lost", netns }), { code: 8, told: [netns] });
    expect(box.links().map(({ ifname }) => ifname)).toEqual(["lo"]);
  });

  test("the bridge's name is that of a veth: code 7", () => {
    const box = new Sandbox();
    box.node("ip", "link", "add", BRIDGE, "type", "veth", "peer", "name", "other");
    expectRefusal(box, box.call("ADD", box.pod()), { code: 7, told: [BRIDGE, "veth", "wanted a bridge"] });
  });

  test("the bridge has another address of the subnet: code 7, unless forceAddress", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.node("ip", "link", "add", BRIDGE, "type", "bridge");
    box.node("ip", "addr", "add", "10.7.0.200/24", "dev", BRIDGE);
    expectRefusal(box, box.call("ADD", pod), { code: 7, told: ["10.7.0.1/24", "10.7.0.200/24"] });
    box.add(pod, box.conf({ forceAddress: true }));
    expect(box.link(BRIDGE).addr_info.map(({ local }) => local)).not.toContain("10.7.0.200");
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
  });

  test("no ip on PATH: the program, the PATH and what to do are told", () => {
    const box = new Sandbox();
    const done = box.call("ADD", box.pod(), box.conf({ executor: "iproute2" }), { PATH: "/nowhere" });
    expectRefusal(box, done, { code: 999, told: ["`ip`", "PATH=/nowhere", "install"] });
  });

  for (const folder of ["dataDir", "stateDir"] as const) {
    test(`${folder} is read-only: code 5, the folder is told`, () => {
      const box = new Sandbox();
      const pod = box.pod();
      mkdirSync(box[folder], { recursive: true });
      box.mountReadOnly(box[folder]);
      expectRefusal(box, box.call("ADD", pod), { code: 5, told: [box[folder]] });
      expect(box.links(pod.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
      expect(box.call("DEL", pod).exitCode).toBe(0);
    });
  }
});
