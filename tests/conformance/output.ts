import { FAKE } from "./fake-ipam.ts";
import type { Finished } from "./node.ts";
import { type Case, few, parsed, type Trial } from "./trial.ts";

/** A dozen ways to fail, each with what the configuration's version was. */
function failures(trial: Trial): readonly (readonly [string, Finished])[] {
  const pod = trial.node.pod();
  const conf = trial.conf();
  const { ipam } = trial.fake();
  ipam.fail("ADD", 117, "no");
  const full = trial.conf({}, few(1));
  trial.add(trial.node.pod(), full);
  return [
    ["version", trial.call("ADD", pod, { ...conf, cniVersion: "9.9.9" })],
    ["environment", trial.call("ADD", null, conf)],
    ["decoding", trial.call("ADD", pod, "{")],
    ["name", trial.call("ADD", pod, { ...conf, name: "a/b" })],
    ["command", trial.call("FOO", pod, conf)],
    ["namespace", trial.call("ADD", { ...pod, netns: "/nowhere" }, conf)],
    ["range", trial.call("ADD", pod, trial.conf({}, { ranges: [[{ subnet: "nonsense" }]] }))],
    ["exhausted", trial.call("ADD", pod, full)],
    ["IPAM missing", trial.call("ADD", pod, trial.conf({ ipam: { type: "nobody" } }))],
    ["IPAM failing", trial.call("ADD", pod, trial.conf({ ipam: { type: FAKE } }))],
    ["CHECK version", trial.call("CHECK", pod, { ...conf, cniVersion: "0.3.1" })],
    ["CHECK without prevResult", trial.call("CHECK", pod, conf)],
    ["GC version", trial.call("GC", null, conf)],
    ["STATUS version", trial.call("STATUS", null, conf)],
  ];
}

/** Codes the specification or its library gives a meaning. */
const KNOWN_CODES: readonly unknown[] = [1, 2, 3, 4, 5, 6, 7, 8, 11, 50, 51];

/** Rules 25–30: stdout, stderr, exit status. */
export const OUTPUT: readonly Case[] = [
  {
    rule: 25,
    title: "exit status 0 on success, not 0 on failure",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      trial.add(pod);
      trial.silent("DEL", trial.call("DEL", pod));
      for (const [what, done] of failures(trial)) {
        trial.that(done.exitCode > 0, `${what}: exit status ${done.exitCode}, wanted another than 0`);
      }
    },
  },
  {
    rule: 26,
    title: "ADD and VERSION print one document, the others nothing",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      const conf = trial.conf({ cniVersion: "1.1.0" });
      const prevResult = trial.add(pod, conf);
      trial.that(Array.isArray(prevResult.ips), "ADD printed no ips");
      const checks = { ...trial.conf({ cniVersion: "1.0.0" }), prevResult };
      trial.silent("CHECK", trial.call("CHECK", pod, checks));
      trial.silent("DEL", trial.call("DEL", pod, conf));
      trial.silent("GC", trial.call("GC", null, { ...conf, "cni.dev/valid-attachments": [] }));
      trial.silent("STATUS", trial.call("STATUS", null, conf));
      const version = trial.added("VERSION", trial.call("VERSION", null, conf));
      trial.that(version !== null && "supportedVersions" in version, "VERSION printed no supportedVersions");
    },
  },
  {
    rule: 27,
    title: "errors are one object on stdout: cniVersion, code, msg, details",
    level: "SHOULD",
    probe: (trial) => {
      for (const [what, done] of failures(trial)) {
        const error = trial.refused(what, done, { msg: /./ });
        if (error === null) continue;
        const { cniVersion, details } = error;
        trial.that(typeof cniVersion === "string", `${what}: the error has no cniVersion`);
        trial.that(["undefined", "string"].includes(typeof details), `${what}: details is no text`);
      }
      const pod = trial.node.pod();
      const old = trial.refused("CHECK", trial.call("CHECK", pod, trial.conf({ cniVersion: "0.3.1" })));
      trial.equal("cniVersion of an error under 0.3.1", old?.cniVersion, "0.3.1");
    },
  },
  {
    rule: 28,
    title: "logging goes to stderr, never into stdout's document",
    level: "SHOULD",
    probe: (trial) => {
      const { ipam, conf } = trial.fake();
      ipam.answer("ADD", { cniVersion: "1.0.0", ips: [{ address: "10.1.2.205/24" }] }, "one line\nanother\n");
      ipam.answer("DEL", {}, "gone\n");
      const pod = trial.node.pod();
      trial.add(pod, conf);
      trial.silent("DEL of an IPAM plugin that prints", trial.call("DEL", pod, conf));
      const logged = trial.call("ADD", trial.node.pod(), trial.conf(), {
        CNI_ARGS: "IgnoreUnknown=1;Nobody=knows",
      });
      trial.added("ADD with an unknown argument", logged);
      const failed = trial.call("ADD", trial.node.pod(), trial.conf({ name: "a/b" }));
      trial.refused("a failure", failed, { code: 7 });
    },
  },
  {
    rule: 29,
    title: "never two documents",
    level: "de facto",
    probe: (trial) => {
      const own = { id: "own", netns: trial.node.netns, ifname: "eth0" };
      const list: readonly (readonly [string, Finished])[] = [
        ...failures(trial),
        ["own namespace", trial.call("ADD", own)],
        ["good ADD", trial.call("ADD", trial.node.pod())],
        ["VERSION", trial.call("VERSION", null)],
      ];
      for (const [what, { stdout }] of list) {
        trial.that(parsed(stdout) !== null, `${what}: stdout is no single document: ${stdout.slice(0, 300)}`);
      }
    },
  },
  {
    rule: 30,
    title: "codes below 100 only with the meaning they are reserved for",
    level: "MUST",
    probe: (trial) => {
      for (const [what, done] of failures(trial)) {
        const code = trial.refused(what, done)?.code;
        const fine = KNOWN_CODES.includes(code) || (typeof code === "number" && code >= 100);
        trial.that(fine, `${what}: code ${code} is reserved and has no meaning`);
      }
    },
  },
];
