import type { Pod, Variables } from "./node.ts";
import { addressOf, type Case, type Trial } from "./trial.ts";

const NEWEST = { cniVersion: "1.1.0" };

/** The variable taken away, everything else as it should be. */
function without(trial: Trial, command: string, pod: Pod, name: string): void {
  const done = trial.call(command, pod, trial.conf(), { [name]: undefined });
  const wanted = { code: 4, msg: `required env variables [${name}] missing` };
  trial.refused(`${command} without ${name}`, done, wanted);
}

/** CNI_NETNS names the namespace the plugin runs in. */
function ownNamespace(trial: Trial): Pod {
  return { id: "own", netns: trial.node.netns, ifname: "eth0" };
}

/** Rules 1–7 and 12–15: the environment variables. */
export const ENVIRONMENT: readonly Case[] = [
  {
    rule: 1,
    title: "the six commands are known",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      const conf = trial.conf(NEWEST);
      const result = trial.add(pod, conf);
      trial.silent("CHECK", trial.call("CHECK", pod, { ...conf, prevResult: result }));
      trial.silent("STATUS", trial.call("STATUS", null, conf));
      trial.silent("GC", trial.call("GC", null, { ...conf, "cni.dev/valid-attachments": [] }));
      trial.silent("DEL", trial.call("DEL", pod, conf));
      trial.added("VERSION", trial.call("VERSION", null, conf));
    },
  },
  {
    rule: 2,
    title: "ADD and CHECK need CONTAINERID, NETNS and IFNAME; ARGS is optional",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      for (const command of ["ADD", "CHECK"]) {
        for (const name of ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]) without(trial, command, pod, name);
      }
      const prevResult = trial.add(pod, trial.conf(), { CNI_ARGS: undefined });
      trial.silent("CHECK without CNI_ARGS", trial.call("CHECK", pod, trial.conf({ prevResult })));
    },
  },
  {
    rule: 3,
    title: "DEL needs CONTAINERID and IFNAME; NETNS and ARGS are optional",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      for (const name of ["CNI_CONTAINERID", "CNI_IFNAME"]) without(trial, "DEL", pod, name);
      trial.silent("DEL without CNI_NETNS", trial.call("DEL", pod, trial.conf(), { CNI_NETNS: undefined }));
    },
  },
  {
    rule: 4,
    title: "GC and STATUS need no attachment, VERSION nothing but the command",
    level: "MUST",
    probe: (trial) => {
      const conf = trial.conf(NEWEST);
      trial.silent("GC", trial.call("GC", null, { ...conf, "cni.dev/valid-attachments": [] }));
      trial.silent("STATUS", trial.call("STATUS", null, conf));
      trial.added("VERSION", trial.call("VERSION", null, conf, { CNI_PATH: undefined }));
    },
  },
  {
    rule: 5,
    title: "CNI_PATH is required for all but VERSION",
    level: "MUST (library)",
    probe: (trial) => {
      const pod = trial.node.pod();
      for (const command of ["ADD", "CHECK", "DEL", "GC", "STATUS"]) without(trial, command, pod, "CNI_PATH");
      trial.added("VERSION", trial.call("VERSION", null, trial.conf(), { CNI_PATH: undefined }));
    },
  },
  {
    rule: 6,
    title: "all missing variables are reported at once, in order",
    level: "MUST",
    probe: (trial) => {
      const none: Variables = { CNI_PATH: undefined };
      const list: readonly (readonly [string, string])[] = [
        ["ADD", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"],
        ["CHECK", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"],
        ["DEL", "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH"],
      ];
      for (const [command, names] of list) {
        const wanted = { code: 4, msg: `required env variables [${names}] missing` };
        trial.refused(`${command} with nothing set`, trial.call(command, null, trial.conf(), none), wanted);
      }
      const some = trial.call("ADD", trial.node.pod(), trial.conf(), { CNI_NETNS: undefined, CNI_PATH: "" });
      const wanted = { code: 4, msg: "required env variables [CNI_NETNS,CNI_PATH] missing" };
      trial.refused("ADD with two missing", some, wanted);
    },
  },
  {
    rule: 7,
    title: "an empty variable counts as missing, and as absent where it is optional",
    level: "MUST (library)",
    probe: (trial) => {
      const pod = trial.node.pod();
      const conf = trial.conf(NEWEST);
      for (const name of ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]) {
        const wanted = { code: 4, msg: `required env variables [${name}] missing` };
        trial.refused(`ADD with empty ${name}`, trial.call("ADD", pod, trial.conf(), { [name]: "" }), wanted);
      }
      const empty = { CNI_CONTAINERID: "", CNI_NETNS: "", CNI_IFNAME: "", CNI_ARGS: "" };
      const gc = { ...conf, "cni.dev/valid-attachments": [] };
      trial.silent("GC with empty variables", trial.call("GC", null, gc, empty));
      trial.silent("STATUS with empty variables", trial.call("STATUS", null, conf, empty));
    },
  },
  {
    rule: 12,
    title: "an unknown command is refused after stdin was read",
    level: "MUST (library)",
    probe: (trial) => {
      const pod = trial.node.pod();
      for (const command of ["FOO", "add", "ADD "]) {
        const wanted = { code: 4, msg: `unknown CNI_COMMAND: ${command}` };
        trial.refused(command, trial.call(command, pod), wanted);
      }
      trial.refused("FOO with broken stdin", trial.call("FOO", pod, "broken"), { code: 6 });
      trial.refused("FOO without a name", trial.call("FOO", pod, { cniVersion: "1.0.0" }), { code: 7 });
    },
  },
  {
    rule: 13,
    title: "no command: about text and versions on stderr, exit 0",
    level: "SHOULD (library)",
    probe: (trial) => {
      for (const CNI_COMMAND of [undefined, ""]) {
        const done = trial.call("", null, "", { CNI_COMMAND, CNI_PATH: undefined });
        const what = `CNI_COMMAND ${CNI_COMMAND === undefined ? "unset" : "empty"}`;
        trial.silent(what, done);
        const about = /\S[\s\S]*CNI protocol versions supported: [0-9., ]+/.test(done.stderr);
        trial.that(
          about,
          `${what}: stderr is ${JSON.stringify(done.stderr)}, wanted about text and versions`,
        );
      }
    },
  },
  {
    rule: 14,
    title: "CNI_NETNS_OVERRIDE switches the own-namespace check off",
    level: "library extension",
    probe: (trial) => {
      const own = ownNamespace(trial);
      for (const CNI_NETNS_OVERRIDE of ["1", "TRUE"]) {
        const done = trial.call("DEL", own, trial.conf(), { CNI_NETNS_OVERRIDE });
        trial.silent(`DEL with CNI_NETNS_OVERRIDE=${CNI_NETNS_OVERRIDE}`, done);
      }
      const off = trial.call("DEL", own, trial.conf(), { CNI_NETNS_OVERRIDE: "0" });
      trial.refused("DEL with CNI_NETNS_OVERRIDE=0", off, { code: 8 });
    },
  },
  {
    rule: 15,
    title: "trace context and other variables are tolerated and handed on",
    level: "de facto",
    probe: (trial) => {
      const { ipam, conf } = trial.fake();
      const more = { TRACEPARENT: "00-abc-def-01", TRACESTATE: "a=b", BAGGAGE: "c=d", SOME_THING: "e" };
      const result = trial.add(trial.node.pod(), conf, more);
      trial.equal("address", addressOf(result), "10.1.2.205");
      const env = ipam.calls()[0]?.env ?? {};
      for (const [name, value] of Object.entries(more)) trial.equal(`${name} at IPAM`, env[name], value);
    },
  },
];
