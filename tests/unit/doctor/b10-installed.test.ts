import { describe, expect, test } from "bun:test";
import { installedCheck } from "../../../src/doctor/checks/b10-installed.ts";
import { describeDrift } from "../../../src/doctor/conflist-drift.ts";
import type { Installed } from "../../../src/doctor/sections/installed.ts";
import { formatConflist } from "../../../src/topology/conflist.ts";
import { findingsOf, linesOf } from "./facts.ts";

const LAUNCHER = {
  path: "/opt/cni/bin/minicni",
  digest: "a".repeat(64),
  hasMode: true,
  kind: "launcher" as const,
  isSame: true,
  version: null,
};
const WHOLE = { ...LAUNCHER, kind: "whole" as const, isSame: false, version: "0.1.0" };
const STANDALONE = {
  path: "/opt/cni/bin/minicni-standalone",
  digest: "b".repeat(64),
  hasMode: true,
  version: "0.1.0",
};
const AGENT = { version: "0.1.0", digest: "b".repeat(64), isRunning: true, isReady: true };
const CONFLIST = { path: "/etc/cni/net.d/10-minicni.conflist", state: "same" as const, drift: [] };
const HEALTHY: Installed = {
  binDir: "/opt/cni/bin",
  confDir: "/etc/cni/net.d",
  node: "n1",
  self: { path: "/tmp/minicni", version: "0.1.0" },
  plugin: LAUNCHER,
  standalone: STANDALONE,
  loopback: "there",
  temporaries: [],
  agent: AGENT,
  conflist: CONFLIST,
  oldConfigs: [],
};
const NOTHING: Partial<Installed> = {
  plugin: null,
  standalone: null,
  agent: null,
  conflist: { ...CONFLIST, state: "absent" },
};
const of = (changes: Partial<Installed>) =>
  findingsOf(installedCheck, { installed: { ...HEALTHY, ...changes } });

describe("B10, installed programs and configuration", () => {
  test.each<[string, Partial<Installed>, string[]]>([
    [
      "all of one version",
      {},
      [
        "PASS B10 the plugin in /opt/cni/bin is minicni 0.1.0, as the agent is; /etc/cni/net.d/10-minicni.conflist is as the agent writes it",
      ],
    ],
    [
      "the full binary under the plugin's name, without an agent",
      { plugin: WHOLE, standalone: null, agent: null, conflist: { ...CONFLIST, state: "absent" } },
      [
        "PASS B10 the plugin in /opt/cni/bin is minicni 0.1.0; there is no /etc/cni/net.d/10-minicni.conflist yet",
      ],
    ],
    [
      "an agent whose digest can't be seen",
      { agent: { ...AGENT, digest: null } },
      [
        "PASS B10 the plugin in /opt/cni/bin is minicni 0.1.0, as the agent is; /etc/cni/net.d/10-minicni.conflist is as the agent writes it",
      ],
    ],
    [
      "nothing of ours",
      NOTHING,
      ["SKIP B10 installed programs and configuration: minicni is not installed in /opt/cni/bin"],
    ],
    [
      "another program of our name alone",
      { ...NOTHING, plugin: { ...LAUNCHER, kind: "other" } },
      ["SKIP B10 installed programs and configuration: minicni is not installed in /opt/cni/bin"],
    ],
    [
      "an agent and no programs",
      { plugin: null, standalone: null, loopback: "absent" },
      ["WARN B10 nothing of minicni is installed in /opt/cni/bin"],
    ],
    [
      "the programs without the plugin",
      { plugin: null },
      ["FAIL B10 there is no plugin /opt/cni/bin/minicni"],
    ],
    [
      "a plugin that is none of ours",
      { plugin: { ...LAUNCHER, kind: "other" } },
      ["FAIL B10 /opt/cni/bin/minicni is none of this minicni's programs"],
    ],
    [
      "a launcher of nothing",
      { standalone: null },
      [
        "FAIL B10 /opt/cni/bin/minicni is a launcher, and what it executes, /opt/cni/bin/minicni-standalone, is not there",
      ],
    ],
    [
      "a launcher of another version",
      { plugin: { ...LAUNCHER, isSame: false } },
      ["WARN B10 /opt/cni/bin/minicni is a launcher of another minicni than 0.1.0"],
    ],
    [
      "a launcher that is not this program's, beside an agent that is not either",
      { plugin: { ...LAUNCHER, isSame: false }, self: { path: "/tmp/minicni", version: "0.2.0" } },
      [
        "PASS B10 the plugin in /opt/cni/bin is minicni 0.1.0, as the agent is; /etc/cni/net.d/10-minicni.conflist is as the agent writes it",
      ],
    ],
    [
      "a plugin of another version than the agent",
      { standalone: { ...STANDALONE, version: "0.0.9" } },
      ["WARN B10 /opt/cni/bin/minicni-standalone is minicni 0.0.9, the agent 0.1.0"],
    ],
    [
      "another build of the same version",
      { agent: { ...AGENT, digest: "c".repeat(64) } },
      ["WARN B10 /opt/cni/bin/minicni-standalone is another build of minicni 0.1.0 than the agent"],
    ],
    [
      "a damaged binary",
      { standalone: { ...STANDALONE, version: null } },
      ["FAIL B10 /opt/cni/bin/minicni-standalone does not run as minicni"],
    ],
    [
      "a plugin that anybody may write",
      { plugin: { ...LAUNCHER, hasMode: false } },
      [
        "WARN B10 the mode of /opt/cni/bin/minicni is not 0755: not all may run it, or not its owner alone may write it",
      ],
    ],
    ["no loopback", { loopback: "absent" }, ["WARN B10 there is no /opt/cni/bin/loopback"]],
    [
      "what a killed installer left",
      { temporaries: ["/opt/cni/bin/minicni-standalone.tmp"] },
      ["WARN B10 an installer was killed, and left /opt/cni/bin/minicni-standalone.tmp"],
    ],
    ["a loopback that can't run", { loopback: "broken" }, ["WARN B10 /opt/cni/bin/loopback can't be run"]],
    [
      "no conflist although the agent is ready",
      { conflist: { ...CONFLIST, state: "absent" } },
      ["FAIL B10 there is no /etc/cni/net.d/10-minicni.conflist, and the agent is ready"],
    ],
    [
      "no conflist while the agent is not ready",
      { conflist: { ...CONFLIST, state: "absent" }, agent: { ...AGENT, isReady: false } },
      [
        "PASS B10 the plugin in /opt/cni/bin is minicni 0.1.0, as the agent is; there is no /etc/cni/net.d/10-minicni.conflist yet",
      ],
    ],
    [
      "an agent that is to write none",
      { conflist: { ...CONFLIST, state: "none" } },
      [
        "PASS B10 the plugin in /opt/cni/bin is minicni 0.1.0, as the agent is; the agent is to write no configuration",
      ],
    ],
    [
      "a conflist that somebody edited",
      { conflist: { ...CONFLIST, state: "differs", drift: ["plugins[0].mtu: 1400, wanted none"] } },
      [
        "WARN B10 /etc/cni/net.d/10-minicni.conflist is not as the agent writes it: plugins[0].mtu: 1400, wanted none",
      ],
    ],
    [
      "a conflist that can't be read",
      { conflist: { ...CONFLIST, state: "unreadable", drift: ["EACCES"] } },
      ["SKIP B10 /etc/cni/net.d/10-minicni.conflist: not looked at: EACCES"],
    ],
    [
      "a configuration of Go minicni",
      { oldConfigs: ["10-minicni.conf"] },
      ["WARN B10 /etc/cni/net.d/10-minicni.conf is of Go minicni"],
    ],
  ])("%s", (_what, changes, lines) => {
    expect(linesOf(of(changes))).toEqual(lines);
  });

  test("what is wrong is put right by the agent's pod, which installs", () => {
    expect(of({ plugin: null })[0]?.fix).toEqual([
      "kubectl -n kube-system delete pod -l app.kubernetes.io/name=minicni --field-selector spec.nodeName=n1  # or, with the agent's program: minicni install --bin-dir /opt/cni/bin --conf-dir /etc/cni/net.d",
    ]);
  });

  test("both versions and digests are evidence", () => {
    expect(of({ standalone: { ...STANDALONE, version: "0.0.9" } })[0]?.evidence).toEqual([
      "/opt/cni/bin/minicni: a launcher of minicni, sha256 aaaaaaaaaaaa",
      "/opt/cni/bin/minicni-standalone: minicni 0.0.9, sha256 bbbbbbbbbbbb",
      "the agent: minicni 0.1.0, sha256 bbbbbbbbbbbb",
      "this program: /tmp/minicni, minicni 0.1.0",
    ]);
  });
});

describe("the difference of a conflist", () => {
  const WANTED = formatConflist("/run/minicni");
  const edited = (edit: (list: ReturnType<typeof JSON.parse>) => void) => {
    const list = JSON.parse(WANTED);
    edit(list);
    return describeDrift(JSON.stringify(list), WANTED);
  };

  test("is none for the same in other characters", () => {
    expect(edited(() => undefined)).toEqual([]);
  });

  test("is told by its place, with what is there and what is wanted", () => {
    expect(
      edited((list) => {
        list.plugins[0].mtu = 1400;
        list.cniVersion = "0.3.1";
        list.plugins.push({ type: "tuning", sysctl: {} });
        delete list.plugins[0].capabilities;
      }),
    ).toEqual([
      'cniVersion: "0.3.1", wanted "1.0.0"',
      "plugins[0].capabilities: none, wanted an object",
      "plugins[0].mtu: 1400, wanted none",
      'plugins[1]: {type "tuning", …}, wanted none',
    ]);
  });

  test("does not tell what might be secret", () => {
    const lines = edited((list) => {
      list.plugins[0].token = "hush-hush";
      list.plugins[0].args = { password: "hush-hush" };
    });
    expect(lines).toEqual([
      "plugins[0].token: a text, wanted none",
      "plugins[0].args: an object, wanted none",
    ]);
  });

  test("of no JSON is just that", () => {
    expect(describeDrift("{", WANTED)).toEqual(["it is no JSON"]);
    expect(describeDrift("[]", WANTED)).toEqual(["the whole: a list of 0, wanted an object"]);
  });
});
