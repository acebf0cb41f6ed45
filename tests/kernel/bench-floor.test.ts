import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import {
  compileFloor,
  FLAGS,
  type FloorCall,
  type FloorPod,
  floorArgv,
} from "../../src/entry/bench/cni/floor.ts";
import { createHost } from "../../src/host/linux.ts";
import { BRIDGE, destroySandboxes, type Finished, must, type Pod, run, Sandbox } from "./sandbox.ts";

const HOST_VETH = "floor0";
const GATEWAY = "10.7.0.1";
const POD_ADDRESS = "10.7.0.2";
const host = createHost();
const SOURCE = `${import.meta.dir}/../../src/entry/bench/cni/floor.c`;

const folder = mkdtempSync(`${tmpdir()}/mtest-floor-`);
let program = "";
let box: Sandbox;
let pod: Pod;

beforeAll(async () => {
  const { path, notes } = await compile(`${folder}/beforehand`);
  if (path === null) throw new Error(notes.join("\n"));
  program = path;
});
beforeEach(() => {
  box = new Sandbox();
  pod = box.pod();
  box.node("ip", "link", "add", BRIDGE, "type", "bridge");
  box.node("ip", "addr", "add", `${GATEWAY}/24`, "dev", BRIDGE);
  box.node("ip", "link", "set", BRIDGE, "up");
});
afterEach(() => box.destroy());
afterAll(() => {
  destroySandboxes();
  rmSync(folder, { recursive: true, force: true });
});

async function compile(into: string, machine = host) {
  const notes: string[] = [];
  const path = await compileFloor({ host: machine, note: (text) => notes.push(text) }, into);
  return { path, notes };
}

/** Calls the floor in the node's namespace. */
function floor(...words: string[]): Finished {
  return run(["nsenter", `--net=${box.netns}`, program, ...words]);
}

function call(...request: FloorCall): Finished {
  return floor(...floorArgv(program, ...request).slice(1));
}

function add(changes: Partial<FloorPod> = {}): Finished {
  const wanted = { netns: pod.netns, bridge: BRIDGE, hostVeth: HOST_VETH, ifname: "eth0" };
  return call("add", { ...wanted, address: `${POD_ADDRESS}/24`, gateway: GATEWAY, ...changes });
}

const DONE: Finished = { exitCode: 0, stdout: "", stderr: "" };
const names = (netns: string) => box.links(netns).map(({ ifname }) => ifname);
const failed = (stderr: string): Finished => ({ exitCode: 1, stdout: "", stderr: `floor: ${stderr}\n` });

describe("the floor", () => {
  test("add makes a pod that reaches its gateway as soon as it returns, and is reached", () => {
    expect(add()).toEqual(DONE);
    expect(box.pings(pod.netns, GATEWAY)).toBe(true);
    expect(box.pings(box.netns, POD_ADDRESS)).toBe(true);
  });

  test("add makes the same links, addresses and routes as the plugin", () => {
    const other = box.pod();
    const ranges = [[{ subnet: "10.7.0.0/24", rangeStart: "10.7.0.3" }]];
    const result = box.add(other, box.conf({}, { ranges, routes: [{ dst: "0.0.0.0/0" }] }));
    expect(add()).toEqual(DONE);
    const [theirs = ""] = box.hostVeths();
    expect(result.ips.map(({ address }) => address)).toEqual(["10.7.0.3/24"]);
    expect(describePod(pod.netns)).toEqual(describePod(other.netns));
    expect(describePort(HOST_VETH)).toEqual(describePort(theirs));
    expect(describePort(HOST_VETH)).toMatchObject({ master: BRIDGE, hairpin: true, state: "forwarding" });
    expect(box.link("eth0", pod.netns).address).toBe("0a:58:0a:07:00:02");
    expect(box.link("lo", pod.netns).flags).toContain("UP");
  });

  test("add leaves an interface that is down as it is", () => {
    must("ip", "-n", pod.netns.replace("/run/netns/", ""), "link", "set", "lo", "down");
    expect(add()).toEqual(DONE);
    expect(box.link("lo", pod.netns).flags).not.toContain("UP");
  });

  test("del takes both ends away, and can be followed by another add", () => {
    for (let round = 0; round < 3; round++) {
      expect(add()).toEqual(DONE);
      expect(call("del", HOST_VETH)).toEqual(DONE);
      expect([names(box.netns), names(pod.netns)]).toEqual([["lo", BRIDGE], ["lo"]]);
    }
  });

  test("del of what is not there fails", () => {
    expect(call("del", HOST_VETH)).toEqual(failed(`link ${HOST_VETH}: No such device`));
  });

  test("nothing does nothing", () => {
    expect(call("nothing")).toEqual(DONE);
    expect(names(box.netns)).toEqual(["lo", BRIDGE]);
  });
});

describe("a failed add says what is wrong, and leaves no link", () => {
  afterEach(() => expect([names(box.netns), names(pod.netns)]).toEqual([["lo", BRIDGE], ["lo"]]));

  test.each([
    ["the bridge is missing", { bridge: "br9" }, "bridge br9: No such device"],
    ["the master is no bridge", { bridge: "lo" }, `veth pair ${HOST_VETH}: Operation not supported`],
    ["the namespace is missing", { netns: "/none" }, "network namespace /none: No such file or directory"],
    ["the namespace is something else", { netns: SOURCE }, `network namespace ${SOURCE}: Invalid argument`],
    [
      "the gateway is elsewhere, which comes out when the veth is made",
      { gateway: "10.8.0.1" },
      "address and default route of pod interface eth0: Network is unreachable",
    ],
    ["the pod's interface is there", { ifname: "lo" }, `veth pair ${HOST_VETH}: File exists`],
  ])("%s", (_, changes, stderr) => {
    expect(add(changes)).toEqual(failed(stderr));
  });

  test.each([
    [[]],
    [["nothing", "more"]],
    [["del"]],
    [["del", "a-name-of-16-chars"]],
    [["del", "a/b"]],
    [["add", "/run/netns/x", BRIDGE, HOST_VETH, "eth0", `${POD_ADDRESS}/24`]],
    [["add", "/run/netns/x", "", HOST_VETH, "eth0", `${POD_ADDRESS}/24`, GATEWAY]],
    ...["", "/", "/33", "/24x", "/24/24"].map((length) => [
      ["add", "/run/netns/x", BRIDGE, HOST_VETH, "eth0", `${POD_ADDRESS}${length}`, GATEWAY],
    ]),
    [["add", "/run/netns/x", BRIDGE, HOST_VETH, "eth0", "fd00::2/64", GATEWAY]],
    [["add", "/run/netns/x", BRIDGE, HOST_VETH, "eth0", `${POD_ADDRESS}/24`, "fd00::1"]],
  ])("usage for %j", (words) => {
    const done = floor(...words);
    expect(done.exitCode).toBe(2);
    expect(done.stderr).toStartWith("usage: floor add NETNS_PATH BRIDGE HOST_VETH");
  });
});

test("add does not touch a link that has the veth's name already", () => {
  box.node("ip", "link", "add", HOST_VETH, "type", "veth", "peer", "name", "other");
  box.node("ip", "link", "set", HOST_VETH, "master", BRIDGE);
  const before = box.link(HOST_VETH);
  expect(add()).toEqual(failed(`veth pair ${HOST_VETH}: File exists`));
  expect(box.link(HOST_VETH)).toEqual(before);
  expect(names(pod.netns)).toEqual(["lo"]);
});

describe("compileFloor", () => {
  test("compiles without a warning, and says how the program is linked", async () => {
    const done = run(["cc", ...FLAGS, "-pedantic", "-Werror", "-fsyntax-only", SOURCE]);
    expect([done.exitCode, done.stderr]).toEqual([0, ""]);
    const { path, notes } = await compile(`${folder}/new/one`);
    expect(path).toBe(`${folder}/new/one/floor`);
    expect(notes).toEqual([
      expect.stringMatching(/^the floor is a (static|dynamic) C program, compiled by /),
    ]);
  });

  test("links dynamically where there is no static libc", async () => {
    const { path, notes } = await withCompiler('case " $* " in *" -static "*) exit 1;; esac; exec cc "$@"');
    expect(notes).toEqual([expect.stringMatching(/^the floor is a dynamic C program/)]);
    expect(run([path ?? "", "nothing"])).toEqual(DONE);
  });

  test("takes a compiler with arguments from CC", async () => {
    const { path, notes } = await withCC("  cc  -DX=1 ", () => compile(`${folder}/arguments`));
    expect(path).not.toBeNull();
    expect(notes).toEqual([expect.stringContaining("compiled by cc -DX=1")]);
  });

  test("without a compiler leaves the floor out, and makes nothing", async () => {
    const bare = { ...host, findProgram: () => null };
    const { path, notes } = await withCC("", () => compile(`${folder}/bare`, bare));
    expect(path).toBeNull();
    expect(notes).toEqual(["no C compiler: the floor is left out; apt-get install gcc libc6-dev"]);
    expect(existsSync(`${folder}/bare`)).toBe(false);
  });

  test("says that the compiler of CC is not there", async () => {
    const { path, notes } = await withCC("no-such-cc -m64", () => compile(`${folder}/absent`));
    expect([path, notes.length]).toEqual([null, 1]);
    expect(notes[0]).toStartWith("no C compiler (CC=no-such-cc -m64 is not there)");
  });

  test("tells the first lines of what the compiler says", async () => {
    const { path, notes } = await withCompiler("printf 'one\\n\\ntwo\\nthree\\nfour\\n' >&2; exit 1");
    expect([path, notes.length]).toEqual([null, 1]);
    expect(notes[0]).toEndWith("made no program of it: one / two / three; apt-get install gcc libc6-dev");
  });

  test("leaves out a program that can't run", async () => {
    const { path, notes } = await withCompiler('while [ "$1" != -o ]; do shift; done; echo x > "$2"');
    expect([path, notes.length]).toEqual([null, 1]);
    expect(notes[0]).toContain("can't run");
  });

  /** With a shell script as the compiler. */
  async function withCompiler(script: string) {
    const path = `${folder}/compiler`;
    writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o700 });
    return withCC(path, () => compile(mkdtempSync(`${folder}/scripted-`)));
  }

  async function withCC<T>(value: string, work: () => Promise<T>): Promise<T> {
    const before = process.env.CC;
    process.env.CC = value;
    try {
      return await work();
    } finally {
      if (before === undefined) delete process.env.CC;
      else process.env.CC = before;
    }
  }
});

/** What a pod has, without what tells one pod from another. */
function describePod(netns: string) {
  const { flags, mtu, addr_info } = box.link("eth0", netns);
  return {
    flags: flags.filter((flag) => flag !== "NO-CARRIER"),
    mtu,
    addresses: addr_info.flatMap(({ family, prefixlen, scope }) =>
      family === "inet" ? [{ prefixlen, scope }] : [],
    ),
    routes: must("nsenter", `--net=${netns}`, "ip", "-4", "route", "show").replaceAll(/ src \S+/g, ""),
  };
}

/** What a port has, its state included, without what tells one from another and what goes by the clock. */
function describePort(name: string) {
  const { flags, mtu, master, linkinfo, addr_info } = box.link(name);
  const isOwn = ([key]: [string, unknown]) => /^(id|no|designated_port)$|_timer$/.test(key);
  const details = Object.entries(linkinfo?.info_slave_data ?? {}).filter((entry) => !isOwn(entry));
  return { flags, mtu, master, addresses: addr_info, ...Object.fromEntries(details) };
}
