import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { answerCni } from "../../../src/entry/cni.ts";
import { addressOfFile } from "../../../src/ipam/reservation.ts";
import { createFakeMachine, type FakeMachine } from "../../twin/machine.ts";

let root = "";
let machine: FakeMachine;
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/minicni-test-`);
  machine = createFakeMachine(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A call as the bridge plugin of another project makes it: its own configuration, our name in `ipam`. */
async function call(command: string, conf: object = {}, containerId = "c1") {
  const variables = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: "/run/netns/c1",
    CNI_IFNAME: "eth0",
    CNI_PATH: "/opt/cni/bin",
  };
  const ipam = { type: "minicni", dataDir: `${root}/networks`, subnet: "10.1.0.0/30" };
  const text = JSON.stringify({
    cniVersion: "1.1.0",
    name: "pods",
    type: "bridge",
    stateDir: `${root}/run`,
    ipam,
    ...conf,
  });
  const stdin = { read: async () => text, peek: async () => text };
  const { exitCode, stdout } = await answerCni(variables, stdin, machine);
  const document: unknown = stdout === "" ? null : JSON.parse(stdout);
  return { exitCode, document };
}

const reservations = () =>
  machine.listFolder(`${root}/networks/pods`).filter((name) => addressOfFile(name) !== null);

describe("under another plugin", () => {
  test("ADD gives addresses and nothing else, in the form of each version", async () => {
    expect((await call("ADD")).document).toEqual({
      cniVersion: "1.1.0",
      ips: [{ address: "10.1.0.2/30", gateway: "10.1.0.1" }],
    });
    expect([machine.executed, machine.spawned]).toEqual([[], []]);
    await call("DEL");
    expect((await call("ADD", { cniVersion: "0.2.0" })).document).toEqual({
      cniVersion: "0.2.0",
      ip4: { ip: "10.1.0.2/30", gateway: "10.1.0.1" },
      dns: {},
    });
  });

  test("a second ADD of an attachment is refused, and the first keeps its address", async () => {
    await call("ADD");
    expect((await call("ADD")).document).toMatchObject({
      code: 7,
      msg: "failed to allocate for range 0: 10.1.0.2 has been allocated to c1, duplicate allocation is not allowed",
    });
    expect(reservations()).toEqual(["10.1.0.2"]);
  });

  test("CHECK passes while the address is held, with or without a record", async () => {
    await call("ADD");
    expect(await call("CHECK")).toEqual({ exitCode: 0, document: null });
    rmSync(`${root}/run`, { recursive: true });
    const prevResult = { ips: [{ address: "10.1.0.2/30" }] };
    expect((await call("CHECK", { prevResult })).exitCode).toBe(0);
    machine.removeFile(`${root}/networks/pods/10.1.0.2`);
    expect((await call("CHECK", { prevResult })).document).toMatchObject({
      code: 999,
      msg: "host-local: Failed to find address added by container c1",
    });
  });

  test("STATUS is 50 once the range is full, and well again after DEL", async () => {
    expect((await call("STATUS")).exitCode).toBe(0);
    await call("ADD");
    expect((await call("STATUS")).document).toMatchObject({ code: 50 });
    expect((await call("ADD", {}, "c2")).document).toMatchObject({ code: 11 });
    await call("DEL");
    expect((await call("STATUS")).exitCode).toBe(0);
  });

  test("GC frees what the list does not have; without one only a sandbox that is gone", async () => {
    await call("ADD");
    await call("GC");
    expect(reservations()).toEqual(["10.1.0.2"]);
    machine.files.set("/run/netns/other", "");
    machine.namespaces.delete("/run/netns/c1");
    await call("GC", { "cni.dev/valid-attachments": null });
    expect(reservations()).toEqual([]);
    machine.namespaces.set("/run/netns/c1", "4:2");
    await call("ADD");
    await call("GC", { "cni.dev/attachments": [{ containerID: "c1", ifname: "eth0" }] });
    expect(reservations()).toEqual(["10.1.0.2"]);
    await call("GC", { "cni.dev/valid-attachments": [] });
    expect(reservations()).toEqual([]);
  });
});
