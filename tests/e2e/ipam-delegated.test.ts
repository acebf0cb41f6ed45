import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { destroySandboxes, type Json, NOTHING, type Pod, read, Sandbox } from "../kernel/sandbox.ts";
import { addressesOf, errorOf, resultOf } from "../kernel/views.ts";
import { callPlugin, makePluginFolder, type PluginConf, Runtime } from "./conflist.ts";

setDefaultTimeout(20_000);

let node: Sandbox;
let folder: string;
beforeEach(() => {
  destroySandboxes();
  node = new Sandbox();
  folder = makePluginFolder(node.dir);
});
afterAll(destroySandboxes);

/** Our plugin on top of another's IPAM. */
function conf(ipam: Json, overrides: Json = {}): PluginConf {
  const { ipam: _ours, ...rest } = node.conf(overrides);
  return { ...rest, type: "minicni", ipam };
}
const call = (command: string, pod: Pod, given: PluginConf) => callPlugin(node, folder, command, pod, given);

const STATIC = {
  type: "static",
  addresses: [
    { address: "10.9.0.5/24", gateway: "10.9.0.1" },
    { address: "fd00:9::5/64", gateway: "fd00:9::1" },
  ],
  routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
};
const hostLocal = (range: Json = {}) => ({
  type: "host-local",
  delegate: true,
  dataDir: node.dataDir,
  ranges: [[{ subnet: "10.9.0.0/24", ...range }], [{ subnet: "fd00:9::/64" }]],
  routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
});

function expectConnected(pod: Pod): void {
  for (const address of ["10.9.0.1", "fd00:9::1"])
    expect({ address, pings: node.pings(pod.netns, address) }).toEqual({ address, pings: true });
  for (const [family, gateway] of [
    [4, "10.9.0.1"],
    [6, "fd00:9::1"],
  ] as const)
    expect(node.routes(pod.netns, family)).toContainEqual(
      expect.objectContaining({ dst: "default", gateway }),
    );
}

describe("minicni with the reference static", () => {
  test.each(["0.3.1", "0.4.0", "1.0.0"])("ADD, CHECK and DEL with version %s", (cniVersion) => {
    const list = new Runtime(node, folder, { cniVersion, name: "net1", plugins: [conf(STATIC)] });
    const pod = node.pod();
    const result = list.add(pod);
    expect(addressesOf(result)).toEqual(["10.9.0.5", "fd00:9::5"]);
    expect(result.ips.map((ip) => result.interfaces[ip.interface ?? -1]?.name)).toEqual(["eth0", "eth0"]);
    expectConnected(pod);
    if (list.canCheck) list.check(pod);
    list.del(pod);
    list.del(pod);
    expect(node.leftovers()).toEqual(NOTHING);
  });

  test.each(["0.1.0", "0.2.0"])("version %s, whose results name one address a family", (cniVersion) => {
    const pod = node.pod();
    const given = conf(STATIC, { cniVersion });
    const done = call("ADD", pod, given);
    expect({ exitCode: done.exitCode, ...JSON.parse(done.stdout) }).toMatchObject({
      exitCode: 0,
      cniVersion,
      ip4: { ip: "10.9.0.5/24", gateway: "10.9.0.1" },
      ip6: { ip: "fd00:9::5/64", gateway: "fd00:9::1" },
    });
    expectConnected(pod);
    expect(call("DEL", pod, given)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(node.leftovers()).toEqual(NOTHING);
  });
});

describe("minicni with the reference host-local (ipam.delegate)", () => {
  test.each(["0.3.1", "0.4.0", "1.0.0"])("ADD, CHECK and DEL with version %s", (cniVersion) => {
    const list = new Runtime(node, folder, { cniVersion, name: "net1", plugins: [conf(hostLocal())] });
    const [first, second] = [node.pod(), node.pod()];
    expect(addressesOf(list.add(first))).toEqual(["10.9.0.2", "fd00:9::2"]);
    expect(addressesOf(list.add(second))).toEqual(["10.9.0.3", "fd00:9::3"]);
    expect(read(`${node.dataDir}/net1/10.9.0.2`)).toBe(`${first.id}\r\neth0`);
    expectConnected(first);
    expect(node.pings(first.netns, "10.9.0.3")).toBe(true);
    for (const pod of [first, second]) if (list.canCheck) list.check(pod);
    list.del(first);
    expect(node.reservations().sort()).toEqual(["10.9.0.3", "fd00:9::3"]);
    list.del({ ...second, netns: "" });
    list.del(second);
    expect(node.leftovers()).toEqual(NOTHING);
  });

  test("it is its program that is asked, not our own pool", () => {
    rmSync(`${folder}/host-local`);
    expect(errorOf(call("ADD", node.pod(), conf(hostLocal())))).toMatchObject({
      code: 7,
      msg: `failed to find plugin "host-local" in path [${folder}]`,
    });
    expect(node.leftovers()).toEqual(NOTHING);
  });

  test("its word for an exhausted range is passed on, and nothing of the attempt is left", () => {
    const given = conf(hostLocal({ rangeStart: "10.9.0.2", rangeEnd: "10.9.0.2" }), { cniVersion: "1.0.0" });
    const [first, second] = [node.pod(), node.pod()];
    resultOf(call("ADD", first, given));
    const before = node.leftovers();
    expect(errorOf(call("ADD", second, given))).toMatchObject({
      cniVersion: "1.0.0",
      msg: expect.stringContaining("no IP addresses available in range set: 10.9.0.2-10.9.0.2"),
    });
    expect(node.leftovers()).toEqual(before);
    expect(node.links(second.netns).map(({ ifname }) => ifname)).toEqual(["lo"]);
  });

  test("an ADD that fails after it frees what it gave", () => {
    node.node("ip", "link", "add", "br0", "type", "veth", "peer", "name", "br0peer");
    const error = errorOf(call("ADD", node.pod(), conf(hostLocal(), { cniVersion: "1.0.0" })));
    expect(`${error.msg} ${error.details}`).toContain("br0");
    expect(node.leftovers()).toEqual(NOTHING);
  });
});

describe("minicni with an IPAM plugin that fails", () => {
  test("dhcp without its daemon: its error passes through with its code", () => {
    const given = conf({ type: "dhcp", daemonSocketPath: `${node.dir}/dhcp.sock` }, { cniVersion: "1.0.0" });
    expect(errorOf(call("ADD", node.pod(), given))).toMatchObject({
      cniVersion: "1.0.0",
      code: 999,
      msg: expect.stringMatching(/error dialing DHCP daemon: .*dhcp\.sock: connect: no such file/),
    });
    expect(node.leftovers()).toEqual(NOTHING);
  });

  test("a program that is nowhere in CNI_PATH: code 7", () => {
    const error = errorOf(call("ADD", node.pod(), conf({ type: "nowhere" })));
    expect(error).toMatchObject({ code: 7 });
    expect(error.msg).toBe(`failed to find plugin "nowhere" in path [${folder}]`);
    expect(node.leftovers()).toEqual(NOTHING);
  });
});

describe("how an IPAM plugin is called", () => {
  /** An IPAM plugin that writes down what it was given and answers with `result`. */
  function addRecorder(result: Json): void {
    const seen = `${node.dir}/seen`;
    const words = '"$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" "$CNI_PATH"';
    const script = `#!/bin/sh
cat >"${seen}-$CNI_COMMAND"
printf '%s\\n' "$(echo ${words})" >>"${seen}"
echo "the recorder's word" >&2
[ "$CNI_COMMAND" != ADD ] || echo '${JSON.stringify(result)}'
`;
    writeFileSync(`${folder}/recorder`, script, { mode: 0o755 });
  }
  const seen = () => read(`${node.dir}/seen`).trim().split("\n");
  const ADDRESS = { cniVersion: "1.0.0", ips: [{ address: "10.9.0.5/24", gateway: "10.9.0.1" }] };

  test("with our environment and our stdin, byte for byte, in ADD, CHECK and DEL", () => {
    addRecorder(ADDRESS);
    const pod = node.pod();
    const env = { CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=web" };
    const given = conf({ type: "recorder", more: [1] }, { cniVersion: "1.0.0" });
    const added = callPlugin(node, folder, "ADD", pod, given, env);
    const result = resultOf(added);
    expect(addressesOf(result)).toEqual(["10.9.0.5"]);
    expect(added.stderr).toContain("the recorder's word");
    const later = { ...given, prevResult: result };
    expect(callPlugin(node, folder, "CHECK", pod, later, env)).toMatchObject({ exitCode: 0, stdout: "" });
    expect(callPlugin(node, folder, "DEL", pod, later, env)).toMatchObject({ exitCode: 0, stdout: "" });
    const rest = `${pod.id} ${pod.netns} eth0 ${env.CNI_ARGS} ${folder}`;
    expect(seen()).toEqual([`ADD ${rest}`, `CHECK ${rest}`, `DEL ${rest}`]);
    expect(read(`${node.dir}/seen-ADD`)).toBe(JSON.stringify(given));
    for (const command of ["CHECK", "DEL"])
      expect(read(`${node.dir}/seen-${command}`)).toBe(JSON.stringify(later));
    expect(node.leftovers()).toEqual(NOTHING);
  });

  test("a result without addresses is code 7, and the plugin gets its DEL", () => {
    addRecorder({ ...ADDRESS, ips: [] });
    const error = errorOf(call("ADD", node.pod(), conf({ type: "recorder" }, { cniVersion: "1.0.0" })));
    expect(error).toMatchObject({ code: 7, msg: "IPAM plugin returned missing IP config" });
    expect(seen().map((line) => line.split(" ")[0])).toEqual(["ADD", "DEL"]);
    expect(node.leftovers()).toEqual(NOTHING);
  });

  test("DEL reaches it without a namespace and without a record of ours", () => {
    addRecorder(ADDRESS);
    const given = conf({ type: "recorder" }, { cniVersion: "1.0.0" });
    expect(call("DEL", { id: "gone", netns: "" }, given)).toMatchObject({ exitCode: 0, stdout: "" });
    expect(existsSync(`${node.dir}/seen-DEL`)).toBe(true);
  });
});
