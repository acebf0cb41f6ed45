import { describe, expect, test } from "bun:test";
import { formatPlan } from "../../../src/plan/format.ts";
import { formatConflist } from "../../../src/topology/conflist.ts";
import {
  isStateFile,
  isStoreFile,
  type ObservedPrograms,
  planConflistRemoval,
  planProgramsRemoval,
} from "../../../src/topology/uninstall-files.ts";

const OLD = JSON.stringify({ type: "minicni", name: "minicni", subnet: "10.244.1.0/24" });
const OURS = { name: "10-minicni.conflist", text: formatConflist("/run/minicni") };
const commands = (steps: Parameters<typeof formatPlan>[0]) =>
  formatPlan(steps)
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));

describe("planConflistRemoval", () => {
  test("takes what the agent wrote, and what it left of a write", () => {
    const configs = [OURS, { name: "10-minicni.conflist.tmp", text: "" }, { name: "20-x.conf", text: "{}" }];
    const { steps, notes } = planConflistRemoval("/net.d", configs);
    expect(commands(steps)).toEqual([
      "rm -f /net.d/10-minicni.conflist",
      "rm -f /net.d/10-minicni.conflist.tmp",
    ]);
    expect(notes).toEqual([]);
  });

  test.each([
    [
      "10-minicni.conflist",
      JSON.stringify({ name: "minicni", plugins: [{ type: "minicni" }, { type: "x" }] }),
    ],
    ["10-minicni.conflist", "{"],
    ["10-minicni.conflist", null],
    ["30-mine.conf", JSON.stringify({ name: "mine", type: "minicni" })],
  ])("leaves %s with %s, and tells", (name, text) => {
    const { steps, notes } = planConflistRemoval("/net.d", [{ name, text }]);
    expect(steps).toEqual([]);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain(`/net.d/${name} (`);
  });

  test("has nothing to say of others, of backups and of Go minicni's", () => {
    const configs = [
      { name: "05-x.conflist", text: JSON.stringify({ plugins: [{ type: "x" }] }) },
      { name: "30-mine.conf.bak", text: JSON.stringify({ type: "minicni" }) },
      { name: "10-minicni.conf", text: OLD },
    ];
    expect(planConflistRemoval("/net.d", configs)).toEqual({ steps: [], notes: [] });
  });
});

describe("planProgramsRemoval", () => {
  const observed = (more: Partial<ObservedPrograms>): ObservedPrograms => ({
    binDir: "/bin",
    confDir: "/net.d",
    names: ["bridge", "loopback", "minicni", "minicni-standalone", "minicni-standalone.tmp", "minicni.tmp"],
    loopback: "minicni",
    hasLauncher: true,
    configs: [],
    ...more,
  });
  const planned = (more: Partial<ObservedPrograms>) => commands(planProgramsRemoval(observed(more)).steps);
  const kept = { name: "10-minicni.conf.replaced", text: OLD };
  const old = { name: "10-minicni.conf", text: OLD };
  const back = [
    "rm -f /bin/loopback",
    "mv -n /net.d/10-minicni.conf.replaced /net.d/10-minicni.conf",
    "rm -f /bin/minicni",
    "mv -n /bin/minicni.replaced /bin/minicni",
    "rm -f /bin/minicni-standalone",
  ];
  const names = ["loopback", "minicni", "minicni-standalone", "minicni.replaced"];
  /** As the links and launchers go, so does what is observed of them. */
  const gone = { loopback: null, hasLauncher: false };

  test("takes what killed installers left, our link, the launcher, and then what it executes", () => {
    expect(planned({})).toEqual([
      "rm -f /bin/minicni.tmp",
      "rm -f /bin/minicni-standalone.tmp",
      "rm -f /bin/loopback",
      "rm -f /bin/minicni",
      "rm -f /bin/minicni-standalone",
    ]);
  });

  test("takes the one binary of before, and a full binary whose launcher never came", () => {
    expect(planned({ ...gone, names: ["minicni"] })).toEqual(["rm -f /bin/minicni"]);
    expect(planned({ ...gone, names: ["minicni-standalone"] })).toEqual(["rm -f /bin/minicni-standalone"]);
  });

  test.each([null, "elsewhere"])("leaves a loopback that is no link of ours (%j)", (loopback) => {
    expect(planned({ loopback })).not.toContain("rm -f /bin/loopback");
  });

  test("puts Go minicni back", () => {
    expect(planned({ names, configs: [kept] })).toEqual(back);
  });

  test("goes on wherever a run before it was killed, and then stops", () => {
    // Behind each command of a whole run in turn.
    expect(planned({ names, loopback: null, configs: [kept] })).toEqual(back.slice(1));
    expect(planned({ names, loopback: null, configs: [old] })).toEqual(back.slice(2));
    const standalone = "minicni-standalone";
    expect(planned({ ...gone, names: [standalone, "minicni.replaced"], configs: [old] })).toEqual(
      back.slice(3),
    );
    expect(planned({ ...gone, names: ["minicni", standalone], configs: [old] })).toEqual(back.slice(4));
    expect(planned({ ...gone, names: ["minicni"], configs: [old] })).toEqual([]);
  });

  test("without a plugin to come back ours goes before the configuration comes, which would make it Go minicni's", () => {
    const names = ["minicni", "minicni-standalone"];
    const whole = [
      "rm -f /bin/minicni",
      "mv -n /net.d/10-minicni.conf.replaced /net.d/10-minicni.conf",
      "rm -f /bin/minicni-standalone",
    ];
    expect(planned({ names, loopback: null, configs: [kept] })).toEqual(whole);
    expect(planned({ ...gone, names: names.slice(1), configs: [kept] })).toEqual(whole.slice(1));
    expect(planned({ ...gone, names: names.slice(1), configs: [old] })).toEqual(whole.slice(2));
  });

  test.each(["05-x.conf", "10-minicni.conf"])("leaves Go minicni, in use by %s, alone", (name) => {
    const { steps, notes } = planProgramsRemoval(
      observed({ ...gone, names: ["minicni"], configs: [{ name, text: OLD }] }),
    );
    expect(steps).toEqual([]);
    expect(notes).toEqual([
      `/net.d/${name} is of Go minicni: it stays`,
      "/bin/minicni is of Go minicni: it stays",
    ]);
  });

  test("beside Go minicni, takes what an installer put there that was killed before it replaced anything", () => {
    const names = ["minicni", "minicni-standalone", "minicni-standalone.tmp"];
    expect(planned({ ...gone, names, configs: [old] })).toEqual([
      "rm -f /bin/minicni-standalone.tmp",
      "rm -f /bin/minicni-standalone",
    ]);
  });

  test("knows a launcher whose installer was killed before it renamed the configuration of Go minicni", () => {
    const names = ["minicni", "minicni-standalone"];
    expect(planned({ names, loopback: null, configs: [old] })).toEqual([
      "rm -f /bin/minicni",
      "rm -f /bin/minicni-standalone",
    ]);
  });

  test("leaves a configuration that came behind ours, and tells", () => {
    const { notes } = planProgramsRemoval(observed({ names, configs: [kept, old] }));
    expect(notes).toEqual(["/net.d/10-minicni.conf.replaced stays: there is another 10-minicni.conf"]);
  });
});

describe("files", () => {
  test("of a store of ours are all that host-local and we make", () => {
    for (const name of ["10.0.0.2", "fd00::2", "lock", "last_reserved_ip.0", ".boot", ".pool.1", ".claim"]) {
      expect([name, isStoreFile(name, true)]).toEqual([name, true]);
    }
    expect(isStoreFile("notes.txt", true)).toBe(false);
  });

  test("of another network's store are only those that host-local does not know", () => {
    expect([".boot", ".pool.0", ".claim"].every((name) => isStoreFile(name, false))).toBe(true);
    expect(["10.0.0.2", "lock", "last_reserved_ip.0"].some((name) => isStoreFile(name, false))).toBe(false);
  });

  test("of the state folder", () => {
    const ours = [
      "node.json",
      "node.json.tmp",
      "agent.json",
      "agent.json.tmp",
      "agent.lock",
      "attachments.lock",
      "rules.lock",
      "bridge.lock",
      "cni.sock",
      "cni.sock.fd",
      "cni.sock.new",
      "cni.sock.fd.new",
    ];
    expect([...ours, "released.lock"].every(isStateFile)).toBe(true);
    expect(
      ["my.lock", "node.json.bak", "agent.json.bak", "attachments", "my.sock", "cni.sock.bak"].some(
        isStateFile,
      ),
    ).toBe(false);
  });
});
