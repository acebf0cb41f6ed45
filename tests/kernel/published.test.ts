import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createPublisher } from "../../src/entry/agent/publish.ts";
import { createHost } from "../../src/host/linux.ts";
import { destroySandboxes, type Json, must, NOTHING, run, Sandbox } from "./sandbox.ts";
import { addressesOf, errorOf, resultOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const BOOT_ID = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
const NODE = {
  ready: true,
  podCidrs: ["10.7.0.0/24", "fd00:7::/64"],
  clusterCidrs: ["10.0.0.0/8"],
  mtu: 1390,
  backend: "vxlan",
  bootId: BOOT_ID,
};

function publish(box: Sandbox, node: Json | string): void {
  mkdirSync(box.stateDir, { recursive: true });
  const text = typeof node === "string" ? node : JSON.stringify(node);
  writeFileSync(`${box.stateDir}/node.json.new`, text);
  run(["mv", `${box.stateDir}/node.json.new`, `${box.stateDir}/node.json`]);
}

/** As the agent's conflist has it: without `ipam`. */
const clusterConf = (box: Sandbox, more: Json = {}) =>
  box.conf({ ipam: undefined, dataDir: box.dataDir, agentWait: 0, ...more });

function status(box: Sandbox, conf: Json) {
  const env = { CNI_COMMAND: "STATUS", CNI_PATH: "/opt/cni/bin" };
  return run(box.argv(), { stdin: JSON.stringify(conf), env });
}

describe("a disk that takes nothing", () => {
  const STATE = { ready: true, reason: null, podCidrs: [], clusterCidrs: [], mtu: 1500, backend: "host-gw" };
  const publisherOf = (box: Sandbox) =>
    createPublisher(createHost(), {
      stateDir: `${box.dir}/run`,
      dataDir: `${box.dir}/lib`,
      confDir: `${box.dir}/net.d`,
    });
  const address = { family: 4, value: 0xc0000201n } as const;
  const podCidrs = [{ address: { family: 4, value: 0x0af40000n } as const, length: 24 }];

  test("read-only folders with the right content in them are fine, others are told", () => {
    const box = new Sandbox();
    for (const name of ["run", "lib", "net.d"]) box.mountTmpfs(`${box.dir}/${name}`, "rw");
    const nodes = [{ name: "a", podCidrs, addresses: [address] }];
    const publish = () => {
      const publisher = publisherOf(box);
      return [publisher.node(STATE), publisher.conflist(), publisher.remember(nodes)];
    };
    for (const { changed, fault } of publish())
      expect({ changed, fault }).toEqual({ changed: true, fault: null });
    const remount = (how: string, name: string) =>
      must("mount", "-o", `remount,${how}`, `${box.dir}/${name}`);
    for (const name of ["run", "lib", "net.d"]) remount("ro", name);
    for (const { changed, fault } of publish())
      expect({ changed, fault }).toEqual({ changed: false, fault: null });
    for (const [name, file] of [
      ["run", "node.json"],
      ["lib", "nodes.json"],
      ["net.d", "10-minicni.conflist"],
    ] as const) {
      remount("rw", name);
      writeFileSync(`${box.dir}/${name}/${file}`, "damaged");
      remount("ro", name);
    }
    for (const { changed, fault } of publish()) {
      expect(changed).toBe(false);
      expect(fault).toMatch(/can't be written: EROFS/);
    }
  });

  test("a full one keeps the old text whole, and leaves no temporary file", () => {
    const box = new Sandbox();
    box.mountTmpfs(`${box.dir}/net.d`, "size=8k");
    box.mountTmpfs(`${box.dir}/lib`, "size=8k");
    const publisher = publisherOf(box);
    publisher.remember([{ name: "a", podCidrs, addresses: [address] }]);
    writeFileSync(`${box.dir}/net.d/other`, "x".repeat(4096));
    writeFileSync(`${box.dir}/net.d/10-minicni.conflist`, "{}");
    expect(publisher.conflist().fault).toMatch(/10-minicni\.conflist can't be written: ENOSPC/);
    expect(readdirSync(`${box.dir}/net.d`).sort()).toEqual(["10-minicni.conflist", "other"]);
    expect(readFileSync(`${box.dir}/net.d/10-minicni.conflist`, "utf8")).toBe("{}");
    const many = Array.from({ length: 100 }, (_, index) => ({
      name: `node-${index}`,
      podCidrs: [{ address: { family: 4, value: 0x0af40000n + BigInt(index * 256) } as const, length: 24 }],
      addresses: [{ family: 4, value: 0xc0000201n + BigInt(index) } as const],
    }));
    expect(publisherOf(box).remember(many).fault).toMatch(/nodes\.json can't be written: ENOSPC/);
    expect(
      publisherOf(box)
        .recall()
        ?.nodes.map(({ name }) => name),
    ).toEqual(["a"]);
  });
});

const ANOTHER_BOOT = { ...NODE, bootId: "00000000-0000-4000-8000-000000000000" };

describe("until the agent has spoken", () => {
  for (const [what, node, told] of [
    ["there is no node.json", null, /no ipam in the configuration and no .*node\.json/],
    [
      "node.json is of another boot",
      ANOTHER_BOOT,
      /node\.json is of another boot, and the agent has not spoken/,
    ],
    [
      "the agent says why not",
      { ...NODE, ready: false, reason: "the API server does not answer" },
      /not ready: the API server does not answer/,
    ],
    ["there is no pod CIDR", { ...NODE, podCidrs: [] }, /names no pod CIDR/],
    ["node.json is torn", '{"ready": tr', /node\.json is not a JSON object/],
    ["node.json is empty", "", /node\.json is not a JSON object/],
  ] as const) {
    test(`${what}: ADD refuses with code 11 and STATUS with 50, and both say why`, () => {
      const box = new Sandbox();
      if (node !== null) publish(box, node);
      const refused = errorOf(box.call("ADD", box.pod(), clusterConf(box)));
      expect(refused.code).toBe(11);
      expect(refused.msg).toMatch(told);
      expect(refused.details).not.toBe("");
      expect(box.leftovers()).toEqual(NOTHING);
      const unready = errorOf(status(box, clusterConf(box)));
      expect(unready.code).toBe(50);
      expect(unready.msg).toMatch(told);
    });
  }

  test("DEL of a pod of before works all the same", () => {
    const box = new Sandbox();
    publish(box, NODE);
    const pod = box.pod();
    box.add(pod, clusterConf(box));
    publish(box, "{");
    expect(box.call("DEL", pod, clusterConf(box)).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("a configuration with ipam needs no agent, whatever node.json is", () => {
    const box = new Sandbox();
    for (const node of [null, ANOTHER_BOOT, "{", { ...NODE, ready: false }]) {
      rmSync(`${box.stateDir}/node.json`, { force: true });
      if (node !== null) publish(box, node);
      expect(box.call("ADD", box.pod()).exitCode).toBe(0);
      expect(status(box, box.conf()).exitCode).toBe(0);
    }
  });
});

describe("an ADD waits for the agent", () => {
  test("and is served once it is ready; others that need no agent are not held up", async () => {
    const box = new Sandbox();
    publish(box, { ...NODE, ready: false, reason: "starting" });
    const [pod, other] = [box.pod(), box.pod()];
    const add = box.start("ADD", pod, clusterConf(box, { agentWait: 30 }));
    // A lock of all attachments is to be had meanwhile, and so is any other.
    expect(box.call("ADD", other).exitCode).toBe(0);
    const gc = { CNI_COMMAND: "GC", CNI_PATH: "/opt/cni/bin" };
    expect(run(box.argv(), { stdin: JSON.stringify(box.conf()), env: gc }).exitCode).toBe(0);
    expect(box.records()).toEqual([`${other.id}:eth0.json`]);
    publish(box, { ...NODE, podCidrs: ["10.8.0.0/24"] });
    expect(addressesOf(resultOf(await add.done))).toEqual(["10.8.0.2"]);
  });

  test("SIGTERM ends the wait, and leaves nothing", async () => {
    const box = new Sandbox();
    const add = box.start("ADD", box.pod(), clusterConf(box, { agentWait: 60 }));
    await Bun.sleep(500);
    add.kill("SIGTERM");
    const error = errorOf(await add.done);
    expect(error.code).toBe(11);
    expect(error.msg).toMatch(/waiting for the minicni agent \(.*no .*node\.json\): SIGTERM came/);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("so does the call's own deadline", () => {
    const box = new Sandbox();
    const error = errorOf(box.call("ADD", box.pod(), clusterConf(box, { agentWait: 60, deadline: 0.5 })));
    expect(error.code).toBe(11);
    expect(error.msg).toMatch(/waiting for the minicni agent .*the time of this call \(0\.5 s\) is over/);
  });

  test.each([-1, 61, "5"])("agentWait=%p is refused", (agentWait) => {
    const box = new Sandbox();
    expect(errorOf(box.call("ADD", box.pod(), clusterConf(box, { agentWait }))).code).toBe(6);
  });
});

describe("the published MTU", () => {
  const mtus = (box: Sandbox, netns: string) => [
    box.link("eth0", netns).mtu,
    box.link(box.hostVeths()[0] ?? "").mtu,
    box.link("br0").mtu,
  ];

  for (const [what, conf] of [
    ["without ipam", (box: Sandbox) => clusterConf(box)],
    ["with ipam", (box: Sandbox) => box.conf()],
  ] as const) {
    test(`is that of both ends and a new bridge, ${what}; one in the configuration comes first`, () => {
      const box = new Sandbox();
      publish(box, NODE);
      const pod = box.pod();
      box.add(pod, conf(box));
      expect(mtus(box, pod.netns)).toEqual([1390, 1390, 1390]);
      box.call("DEL", pod, conf(box));
      const given = box.pod();
      box.add(given, { ...conf(box), mtu: 1300 });
      expect(box.link("eth0", given.netns).mtu).toBe(1300);
    });
  }

  test.each([0, -5, 12, 1e9, 1400.5, "1400", null])("mtu=%p is as good as none", (mtu) => {
    const box = new Sandbox();
    publish(box, { ...NODE, mtu });
    const pod = box.pod();
    box.add(pod, clusterConf(box));
    expect(box.link("eth0", pod.netns).mtu).toBe(1500);
  });
});
