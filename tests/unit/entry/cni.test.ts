import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { answerCni } from "../../../src/entry/cni.ts";
import { BusyError } from "../../../src/host/errors.ts";
import type { Stdin } from "../../../src/host/stdin.ts";
import { addressOfFile } from "../../../src/ipam/reservation.ts";
import { createFakeMachine, type FakeMachine, fakeLink } from "../../twin/machine.ts";

const NETNS = "/run/netns/c1";
/** A stdin that holds this text. */
const stdinOf = (text: string): Stdin => ({ read: async () => text, peek: async () => text });

let root = "";
let machine: FakeMachine;

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/minicni-test-`);
  machine = createFakeMachine(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface Call {
  readonly command?: string;
  readonly env?: Record<string, string | undefined>;
  readonly conf?: object;
  readonly stdin?: string;
}

/** One call of container c1; the answer with its stdout parsed, null when there is none. */
async function call({ command = "ADD", env = {}, conf = {}, stdin }: Call = {}) {
  const variables = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: "c1",
    CNI_NETNS: NETNS,
    CNI_IFNAME: "eth0",
    CNI_PATH: "/opt/cni/bin",
    ...env,
  };
  const least = { cniVersion: "1.0.0", name: "pods", type: "minicni", stateDir: `${root}/run` };
  const ipam = { dataDir: `${root}/networks`, subnet: "10.1.0.0/24" };
  const text = stdin ?? JSON.stringify({ ...least, ipam, ...conf });
  const { exitCode, stdout } = await answerCni(variables, stdinOf(text), machine);
  const document: unknown = stdout === "" ? null : JSON.parse(stdout);
  return { exitCode, stdout, document };
}

const reservations = () =>
  machine.listFolder(`${root}/networks/pods`).filter((name) => addressOfFile(name) !== null);
const records = () => machine.listFolder(`${root}/run/attachments/pods`);

describe("ADD", () => {
  test("answers with the result, and leaves one reservation and one record", async () => {
    const { exitCode, document } = await call();
    expect(exitCode).toBe(0);
    expect(document).toMatchObject({
      cniVersion: "1.0.0",
      interfaces: [{ name: "minicni0", mac: "0a:58:0a:01:00:01" }, {}, { name: "eth0", sandbox: NETNS }],
      ips: [{ interface: 2, address: "10.1.0.2/24", gateway: "10.1.0.1" }],
    });
    expect(reservations()).toEqual(["10.1.0.2"]);
    expect(machine.readFile(`${root}/networks/pods/10.1.0.2`)).toBe("c1\r\neth0");
    expect(records()).toEqual(["c1:eth0.json"]);
  });

  test("makes the bridge once: the second ADD runs one plan", async () => {
    await call();
    expect(machine.executed).toHaveLength(2);
    machine.namespaces.set("/run/netns/c2", "4:3");
    expect(
      (await call({ env: { CNI_CONTAINERID: "c2", CNI_NETNS: "/run/netns/c2" } })).document,
    ).toMatchObject({
      ips: [{ address: "10.1.0.3/24" }],
    });
    expect(machine.executed).toHaveLength(3);
    expect(machine.spawned).toEqual([]);
  });

  test("refuses the same attachment twice and keeps the first", async () => {
    await call();
    const second = await call();
    expect(second.exitCode).toBe(1);
    expect(second.document).toMatchObject({
      code: 7,
      msg: "failed to allocate for range 0: 10.1.0.2 has been allocated to c1, duplicate allocation is not allowed",
    });
    expect(reservations()).toEqual(["10.1.0.2"]);
    expect(records()).toHaveLength(1);
  });

  test.each([
    ["the veth pair", "link.add"],
    ["the host's end", "link.set"],
    ["the pod's address", "addr.replace"],
    ["the pod's route", "route.append"],
  ])("that fails at %s leaves no reservation, no record and no veth", async (_what, op) => {
    machine.failOn = (step) =>
      step.op === op && (step.netns === NETNS || step.op === "link.add" || step.op === "link.set");
    const { exitCode, document } = await call({ conf: { isDefaultGateway: true } });
    expect(exitCode).toBe(1);
    expect(document).toMatchObject({ code: 999, details: "a hint" });
    expect(reservations()).toEqual([]);
    expect(records()).toEqual([]);
    expect([...machine.linksByName.values()].filter(({ kind }) => kind === "veth")).toEqual([]);
  });

  test("after a failed one gives an address again", async () => {
    machine.failOn = (step) => step.op === "addr.replace" && step.netns === NETNS;
    expect((await call()).exitCode).toBe(1);
    machine.failOn = () => false;
    expect((await call()).document).toMatchObject({ ips: [{ gateway: "10.1.0.1" }] });
    expect(reservations()).toHaveLength(1);
  });

  test("refuses a bridge name that a veth has taken, and leaves nothing", async () => {
    machine.linksByName.set("minicni0", fakeLink({ index: 9, name: "minicni0", kind: "veth", up: true }));
    expect((await call()).document).toMatchObject({
      code: 7,
      msg: "minicni0 already exists and is of type veth, wanted a bridge",
    });
    expect([reservations(), records(), machine.executed]).toEqual([[], [], []]);
  });

  test("says code 11 when another process holds the store for too long", async () => {
    machine.withLock = () => {
      throw new BusyError("lock is held", "wait");
    };
    expect((await call()).document).toMatchObject({ code: 11, msg: "lock is held", details: "wait" });
  });

  test("says code 11 when no address is left, and code 7 for one that can't be had", async () => {
    const ipam = { dataDir: `${root}/networks`, subnet: "10.1.0.0/30" };
    expect((await call({ conf: { ipam } })).exitCode).toBe(0);
    const env = { CNI_CONTAINERID: "c2" };
    expect((await call({ conf: { ipam }, env })).document).toMatchObject({ code: 11 });
    expect((await call({ conf: { ipam }, env: { ...env, CNI_ARGS: "IP=10.9.0.1" } })).document).toMatchObject(
      {
        code: 7,
      },
    );
  });

  test("says code 11 without ipam until the agent has published pod CIDRs", async () => {
    expect((await call({ conf: { ipam: null } })).document).toMatchObject({ code: 11 });
  });
});

describe("DEL", () => {
  test("takes away veth, reservation and record; a second one ends as well", async () => {
    await call();
    expect(await call({ command: "DEL" })).toMatchObject({ exitCode: 0, stdout: "" });
    expect([reservations(), records(), [...machine.linksByName.keys()]]).toEqual([[], [], ["minicni0"]]);
    const plans = machine.executed.length;
    expect(await call({ command: "DEL" })).toMatchObject({ exitCode: 0, stdout: "" });
    expect(machine.executed).toHaveLength(plans);
  });

  test.each([
    ["without netns", undefined],
    ["with a netns that is gone", "/run/netns/gone"],
  ])("%s frees everything all the same", async (_when, netns) => {
    await call();
    expect((await call({ command: "DEL", env: { CNI_NETNS: netns } })).exitCode).toBe(0);
    expect([reservations(), records()]).toEqual([[], []]);
  });

  test("does not look at what only ADD uses", async () => {
    await call();
    expect((await call({ command: "DEL", conf: { vlan: 100, bridge: "a#b" } })).exitCode).toBe(0);
    expect(reservations()).toEqual([]);
  });

  test("finds the reservation without a record, and leaves other owners' alone", async () => {
    await call();
    machine.removeFile(`${root}/run/attachments/pods/c1:eth0.json`);
    machine.writeFile(`${root}/networks/pods/10.1.0.77`, "c2\r\neth0");
    expect((await call({ command: "DEL" })).exitCode).toBe(0);
    expect(reservations()).toEqual(["10.1.0.77"]);
  });
});

describe("what is refused before anything happens", () => {
  test.each(["ADD", "DEL", "CHECK"])("%s in our own namespace is code 8", async (command) => {
    machine.namespaces.set(NETNS, "4:1");
    expect((await call({ command })).document).toMatchObject({
      code: 8,
      msg: "plugin's netns and netns from CNI_NETNS should not be the same",
    });
    expect([machine.executed, machine.spawned, reservations()]).toEqual([[], [], []]);
  });

  test("ADD into a netns that is not there, or is another file, is code 8", async () => {
    expect((await call({ env: { CNI_NETNS: "/run/netns/gone" } })).document).toMatchObject({ code: 8 });
    machine.namespaces.set(NETNS, "66:2");
    expect((await call()).document).toMatchObject({
      code: 8,
      msg: `CNI_NETNS=${NETNS} is not a network namespace`,
    });
  });

  test("a read error on stdin is code 5", async () => {
    const broken: Stdin = { ...stdinOf(""), read: () => Promise.reject(new Error("EIO")) };
    const env = { CNI_COMMAND: "DEL", CNI_CONTAINERID: "c1", CNI_IFNAME: "eth0", CNI_PATH: "/x" };
    expect(JSON.parse((await answerCni(env, broken, machine)).stdout)).toMatchObject({ code: 5 });
  });
});

describe("every answer", () => {
  test.each([
    ["broken JSON", { stdin: "{" }, 6, "1.1.0"],
    ["empty stdin", { stdin: "" }, 6, "1.1.0"],
    ["an unknown version", { conf: { cniVersion: "9.9.9" } }, 1, "9.9.9"],
    ["CHECK before 0.4.0", { command: "CHECK", conf: { cniVersion: "0.3.1" } }, 1, "0.3.1"],
    ["CHECK without prevResult", { command: "CHECK" }, 7, "1.0.0"],
    ["an unknown command", { command: "STATUSS" }, 4, "1.0.0"],
    ["a missing variable", { env: { CNI_PATH: "" } }, 4, "1.1.0"],
    ["a bad range", { conf: { ipam: { subnet: "10.0.0.1/24" } } }, 7, "1.0.0"],
    ["an unsupported field", { conf: { ipMasq: true, ipMasqBackend: "ipfw" } }, 2, "1.0.0"],
  ] as [string, Call, number, string][])(
    "to %s is one JSON document with its code",
    async (_what, request, code, cniVersion) => {
      const { exitCode, stdout, document } = await call(request);
      expect(exitCode).toBe(1);
      expect(stdout).not.toContain("\n");
      expect(document).toEqual({ cniVersion, code, msg: expect.any(String), details: expect.any(String) });
      expect(machine.executed).toEqual([]);
    },
  );

  test("to VERSION names what is supported and reads no stdin", async () => {
    const unread: Stdin = { ...stdinOf(""), read: () => Promise.reject(new Error("read")) };
    expect(JSON.parse((await answerCni({ CNI_COMMAND: "VERSION" }, unread, machine)).stdout)).toMatchObject({
      supportedVersions: ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    });
  });
});
