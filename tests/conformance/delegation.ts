import { mkdirSync, writeFileSync } from "node:fs";
import { FAKE } from "./fake-ipam.ts";
import { type Finished, type Json, type Pod, run } from "./node.ts";
import { addressOf, type Case, few, parsed, type Result, type Trial } from "./trial.ts";

/** The subject as an IPAM plugin: called by an upper one with that one's configuration. */
function askAddresses(trial: Trial, command: string, pod: Pod, conf: Json): Finished {
  const { binary, type } = trial.subject.ipam;
  const ipam = typeof conf.ipam === "object" && conf.ipam !== null ? { ...conf.ipam, type } : { type };
  const stdin = JSON.stringify({ ...conf, type: "upper", ipam });
  return run(trial.argv(binary), stdin, trial.variables(command, pod));
}

/** One version's abbreviated result. */
function abbreviated(trial: Trial, cniVersion: string, result: Result): void {
  const say = (what: string) => `${cniVersion}: ${what}`;
  trial.equal(say("cniVersion"), result.cniVersion, cniVersion);
  trial.that(result.interfaces === undefined, say("it has interfaces"));
  trial.that(addressOf(result).startsWith("10.1.2."), say(`address ${addressOf(result)}`));
  if (cniVersion === "0.2.0") {
    trial.equal(say("ip4.gateway"), result.ip4?.gateway, "10.1.2.1");
    return;
  }
  const [first] = result.ips ?? [];
  trial.equal(say("gateway"), first?.gateway, "10.1.2.1");
  trial.equal(say("interface"), first?.interface, undefined);
  trial.equal(say("version"), first?.version, cniVersion === "0.3.1" ? "4" : undefined);
  trial.equal(
    say("routes"),
    result.routes?.map(({ dst }) => dst),
    ["0.0.0.0/0"],
  );
}

/** Rules 72–76: delegation, and IPAM as a plugin. */
export const DELEGATION: readonly Case[] = [
  {
    rule: 72,
    title: "the delegated plugin: first in CNI_PATH, same environment, whole configuration, its stderr",
    level: "SHOULD",
    probe: (trial) => {
      const { ipam, conf } = trial.fake({ nobodyKnows: { deep: [1, null] }, args: { cni: { labels: [] } } });
      ipam.answer("ADD", { cniVersion: "1.0.0", ips: [{ address: "10.1.2.205/24" }] }, "said by IPAM\n");
      const second = `${trial.node.dir}/second`;
      mkdirSync(second);
      writeFileSync(`${second}/${FAKE}`, "#!/bin/sh\nexit 3\n", { mode: 0o755 });
      const CNI_PATH = [...trial.subject.cniPath, "/nowhere", trial.node.bin, second].join(":");
      const env = { CNI_PATH, CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=web" };
      const pod = trial.node.pod();
      const done = trial.call("ADD", pod, conf, env);
      trial.added("ADD", done);
      trial.that(
        done.stderr.includes("said by IPAM"),
        `stderr is ${done.stderr}, wanted the IPAM plugin's too`,
      );
      const [call] = ipam.calls();
      for (const [name, value] of Object.entries({ ...trial.variables("ADD", pod), ...env })) {
        trial.equal(`${name} at IPAM`, call?.env[name], value);
      }
      trial.equal("configuration at IPAM", parsed<Json>(call?.stdin ?? ""), JSON.parse(JSON.stringify(conf)));
      const missing = trial.call("ADD", trial.node.pod(), trial.conf({ ipam: { type: "nobody" } }));
      trial.refused("a plugin that is not there", missing, {
        msg: /failed to find plugin "nobody" in path \[/,
      });
    },
  },
  {
    rule: 73,
    title: "CHECK, DEL, GC and STATUS are forwarded, and errors come back",
    level: "MUST",
    probe: (trial) => {
      const { ipam, conf } = trial.fake({ cniVersion: "1.1.0" });
      const pod = trial.node.pod();
      const prevResult = trial.add(pod, conf);
      const calls = () => [
        ["CHECK", trial.call("CHECK", pod, { ...conf, prevResult })] as const,
        ["STATUS", trial.call("STATUS", null, conf)] as const,
        ["DEL", trial.call("DEL", pod, conf)] as const,
        ["GC", trial.call("GC", null, { ...conf, "cni.dev/valid-attachments": [] })] as const,
      ];
      for (const [command, done] of calls()) trial.silent(command, done);
      trial.equal("calls", ipam.commands(), ["ADD", "CHECK", "STATUS", "DEL", "GC"]);
      trial.add(pod, conf);
      for (const command of ["CHECK", "STATUS", "DEL", "GC"]) ipam.fail(command, 121, `no ${command}`);
      for (const [command, done] of calls()) {
        trial.refused(`${command} of a failing plugin`, done, { msg: new RegExp(`no ${command}`) });
      }
    },
  },
  {
    rule: 74,
    title: "as an IPAM plugin: addresses without interfaces, in each version's form",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      for (const cniVersion of ["0.2.0", "0.3.1", "1.0.0", "1.1.0"]) {
        const conf = trial.conf({ cniVersion });
        const result = trial.added(`ADD under ${cniVersion}`, askAddresses(trial, "ADD", pod, conf));
        if (result === null) continue;
        abbreviated(trial, cniVersion, result);
        if (cniVersion >= "1.0.0") {
          const check = askAddresses(trial, "CHECK", pod, { ...conf, prevResult: result });
          trial.silent(`CHECK under ${cniVersion}`, check);
        }
        trial.silent(`DEL under ${cniVersion}`, askAddresses(trial, "DEL", pod, conf));
        if (cniVersion < "1.0.0") continue;
        const gone = askAddresses(trial, "CHECK", pod, { ...conf, prevResult: result });
        trial.refused(`CHECK after DEL under ${cniVersion}`, gone);
      }
      const conf = trial.conf({}, few(1));
      trial.added("ADD of the last address", askAddresses(trial, "ADD", pod, conf));
      trial.refused("ADD of an exhausted range", askAddresses(trial, "ADD", trial.node.pod(), conf));
      for (const netns of [trial.node.netns, pod.netns]) {
        trial.equal(`links in ${netns}`, trial.node.links(netns).length, 1);
      }
      trial.node.removeNamespace(pod);
      trial.silent("DEL without the namespace", askAddresses(trial, "DEL", pod, conf));
      trial.added("ADD after DEL", askAddresses(trial, "ADD", trial.node.pod(), conf));
    },
  },
  {
    rule: 75,
    title: "an IPAM result without addresses is refused",
    level: "de facto",
    probe: (trial) => {
      const { ipam, conf } = trial.fake();
      for (const document of [{ cniVersion: "1.0.0" }, { cniVersion: "1.0.0", ips: [] }]) {
        ipam.answer("ADD", document);
        const done = trial.call("ADD", trial.node.pod(), conf);
        trial.refused(`IPAM answered ${JSON.stringify(document)}`, done, {
          msg: /IPAM plugin returned missing IP config/,
        });
      }
      trial.equal("calls", ipam.commands(), ["ADD", "DEL", "ADD", "DEL"]);
    },
  },
  {
    rule: 76,
    title: "the configuration's dns wins over the IPAM plugin's, even an empty list",
    level: "de facto",
    probe: (trial) => {
      const { ipam, conf } = trial.fake();
      const dns = { nameservers: ["10.9.9.9"], search: ["ipam.example"] };
      ipam.answer("ADD", { cniVersion: "1.0.0", ips: [{ address: "10.1.2.205/24" }], dns });
      const dnsOf = (own: Json) => {
        const pod = trial.node.pod();
        const result = trial.add(pod, { ...conf, ...own });
        trial.call("DEL", pod, conf);
        return result.dns;
      };
      trial.equal("no dns of our own", dnsOf({}), dns);
      trial.equal("an empty dns of our own", dnsOf({ dns: {} }), dns);
      const own = { nameservers: ["10.2.2.2"] };
      trial.equal("dns of our own", dnsOf({ dns: own }), own);
      trial.equal("an empty list of our own", dnsOf({ dns: { nameservers: [] } }), undefined);
    },
  },
];
