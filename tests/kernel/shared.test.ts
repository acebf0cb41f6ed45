import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { destroySandboxes, type Json, NETWORK, NOTHING, run, Sandbox } from "./sandbox.ts";
import { errorOf } from "./views.ts";

setDefaultTimeout(20_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

/** Two networks that both give a default route to the same sandbox. */
function twoNetworks() {
  const box = new Sandbox();
  const pod = box.pod();
  const first = box.conf();
  const ranges = [[{ subnet: "10.8.0.0/24" }], [{ subnet: "fd00:8::/64" }]];
  const second: Json = { ...box.conf({}, { ranges }), name: "net2", bridge: "br2" };
  return { box, pod, first, second, other: { ...pod, ifname: "net1" } };
}

const defaults = (box: Sandbox, netns: string) =>
  box.routes(netns, 4).flatMap(({ dst, gateway }) => (dst === "default" ? [gateway ?? ""] : []));

describe("a second attachment of a sandbox", () => {
  test("leaves the routes of the first, and so does its DEL", () => {
    const { box, pod, first, second, other } = twoNetworks();
    const prevResult = box.add(pod, first);
    box.add(other, second);
    expect(defaults(box, pod.netns)).toEqual(["10.7.0.1", "10.8.0.1"]);
    expect(box.call("CHECK", pod, { ...first, prevResult }).stdout).toBe("");
    expect(box.call("DEL", other, second).exitCode).toBe(0);
    expect(defaults(box, pod.netns)).toEqual(["10.7.0.1"]);
    expect(box.call("CHECK", pod, { ...first, prevResult }).stdout).toBe("");
  });

  test("that fails at its last route leaves them as well", () => {
    const { box, pod, first, second, other } = twoNetworks();
    const prevResult = box.add(pod, first);
    const routes = [{ dst: "0.0.0.0/0" }, { dst: "4.4.4.0/24", gw: "9.9.9.9" }];
    const broken = { ...second, ipam: { ...Object(second.ipam), routes } };
    expect(errorOf(box.call("ADD", other, broken)).msg).toContain("4.4.4.0/24");
    expect(defaults(box, pod.netns)).toEqual(["10.7.0.1"]);
    expect(box.call("CHECK", pod, { ...first, prevResult }).stdout).toBe("");
  });
});

describe("two routes to one place", () => {
  test("are both there, and CHECK finds both", () => {
    const box = new Sandbox();
    const pod = box.pod();
    const routes = ["10.7.0.9", "10.7.0.8"].map((gw) => ({ dst: "1.1.1.0/24", gw }));
    const conf = box.conf({}, { routes: [...routes, routes[0]] });
    const prevResult = box.add(pod, conf);
    expect(box.routes(pod.netns, 4).filter(({ dst }) => dst === "1.1.1.0/24")).toHaveLength(2);
    expect(box.call("CHECK", pod, { ...conf, prevResult }).stdout).toBe("");
  });
});

describe("a small MTU", () => {
  for (const mtu of [68, 1200]) {
    test(`of ${mtu} bytes is had, though IPv6 knows none below 1280`, () => {
      const box = new Sandbox();
      const pod = box.pod();
      box.add(pod, box.conf({ mtu }, { ranges: [[{ subnet: "10.7.0.0/24" }]], routes: [] }));
      expect(box.link("eth0", pod.netns).mtu).toBe(mtu);
      expect(box.link("br0").mtu).toBe(mtu);
    });
  }
});

describe("what nobody can read", () => {
  test("an ADD whose answer can't be written is taken back", () => {
    const box = new Sandbox();
    const script = `exec ${box.argv().join(" ")} > /dev/full`;
    const stdin = JSON.stringify(box.conf());
    const done = run(["/bin/sh", "-c", script], { stdin, env: box.variables("ADD", box.pod()) });
    expect(done.exitCode).toBe(1);
    expect(done.stderr).toContain("could not be written");
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("a closed stderr does not fail a call that has something to say", () => {
    const box = new Sandbox();
    const script = `exec ${box.argv().join(" ")} 2> /dev/full`;
    const env = box.variables("ADD", box.pod(), { CNI_ARGS: "FOO=1" });
    const done = run(["/bin/sh", "-c", script], { stdin: JSON.stringify(box.conf()), env });
    expect(done.exitCode).toBe(0);
  });

  test("the record of another version keeps its pod from a GC without a list", () => {
    const box = new Sandbox();
    const pod = box.pod();
    box.add(pod);
    const path = `${box.stateDir}/attachments/${NETWORK}/${pod.id}:eth0.json`;
    writeFileSync(path, readFileSync(path, "utf8").replace('"version":2', '"version":3'));
    expect(box.call("GC", { id: "", netns: "", ifname: "" }).exitCode).toBe(0);
    expect(box.pings(pod.netns, "10.7.0.1")).toBe(true);
    expect(box.reservations()).toHaveLength(2);
  });
});
