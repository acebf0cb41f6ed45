import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { type PassView, passArgv, REFERENCE_PLUGINS } from "./passes.ts";
import { destroySandboxes, type Json, NOTHING, type Pod, run, Sandbox } from "./sandbox.ts";
import { addressesOf, type ResultView, resultOf } from "./views.ts";

setDefaultTimeout(60_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

const isThere = ["bridge", "host-local"].every((name) => existsSync(`${REFERENCE_PLUGINS}/${name}`));
if (!isThere) process.stderr.write(`migration: skipped, no reference plugins in ${REFERENCE_PLUGINS}\n`);

/** As administrators have it: without our keys. */
function oldConf(box: Sandbox): Json {
  const { stateDir: _ours, ...conf } = box.conf({
    type: "bridge",
    cniVersion: "1.0.0",
    isDefaultGateway: true,
  });
  return {
    ...conf,
    ipam: { type: "host-local", dataDir: box.dataDir, ranges: [[{ subnet: "10.7.0.0/24" }]] },
  };
}

/** A call of the reference bridge plugin, which runs host-local. */
function reference(box: Sandbox, command: string, pod: Pod, conf: Json): ResultView {
  const argv = ["/usr/bin/nsenter", `--net=${box.netns}`, `${REFERENCE_PLUGINS}/bridge`];
  const env = box.variables(command, pod, { CNI_PATH: REFERENCE_PLUGINS });
  return resultOf(run(argv, { stdin: JSON.stringify(conf), env }));
}

/** What the agent publishes, for configurations without `ipam`. */
function publish(box: Sandbox): void {
  mkdirSync(box.stateDir, { recursive: true });
  const node = {
    ready: true,
    podCidrs: ["10.7.0.0/24"],
    clusterCidrs: ["10.7.0.0/16"],
    mtu: 1400,
    backend: "auto",
  };
  writeFileSync(`${box.stateDir}/node.json`, JSON.stringify(node));
}

/** What becomes of the configuration of bridge + host-local. */
const WAYS: readonly [what: string, change: (conf: Json, box: Sandbox) => Json][] = [
  ["by the plugin's type alone", (conf, { stateDir }) => ({ ...conf, type: "minicni", stateDir })],
  [
    "without ipam section, the name and the bridge kept",
    ({ ipam: _ipam, ...conf }, { stateDir, dataDir }) => ({ ...conf, type: "minicni", stateDir, dataDir }),
  ],
];

describe.skipIf(!isThere).each(WAYS)("pods of bridge + host-local, taken over %s,", (_what, change) => {
  test("keep their addresses and are reached, and their DEL gives these back", () => {
    const box = new Sandbox();
    const [old, other, first, second] = [box.pod(), box.pod(), box.pod(), box.pod()];
    const conf = oldConf(box);
    expect(addressesOf(reference(box, "ADD", old, conf))).toEqual(["10.7.0.2"]);
    expect(addressesOf(reference(box, "ADD", other, conf))).toEqual(["10.7.0.3"]);
    publish(box);
    const ours = change(conf, box);
    expect(addressesOf(box.add(first, ours))).toEqual(["10.7.0.4"]);
    expect(box.pings(first.netns, "10.7.0.2")).toBe(true);
    expect(box.pings(old.netns, "10.7.0.4")).toBe(true);
    expect(box.call("DEL", old, ours).exitCode).toBe(0);
    expect(box.reservations().sort()).toEqual(["10.7.0.3", "10.7.0.4"]);
    expect(addressesOf(box.add(second, ours))).toEqual(["10.7.0.5"]);
    for (const pod of [other, first, second]) expect(box.call("DEL", pod, ours).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("are nothing that the agent would take for a leak, or repair", () => {
    const box = new Sandbox();
    const [old, first] = [box.pod(), box.pod()];
    const conf = oldConf(box);
    reference(box, "ADD", old, conf);
    publish(box);
    const ours = change(conf, box);
    box.add(first, ours);
    const confDir = `${box.dir}/net.d`;
    mkdirSync(confDir);
    const { cniVersion, name, ...plugin } = ours;
    writeFileSync(`${confDir}/05-net.conflist`, JSON.stringify({ cniVersion, name, plugins: [plugin] }));
    for (const part of ["leaks", "bridge"] as const) {
      const report: PassView = JSON.parse(run(passArgv(box, part, confDir)).stdout);
      expect(report.faults).toEqual([]);
      expect(report.removed ?? report.changes).toEqual([]);
    }
    expect(box.reservations().sort()).toEqual(["10.7.0.2", "10.7.0.3"]);
    expect(box.pings(first.netns, "10.7.0.2")).toBe(true);
  });
});
