import type { Json } from "./node.ts";
import { type Case, parsed } from "./trial.ts";

/** Every version of the specification. */
const ALL = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
const STRANGE = [
  "9.9.9",
  "0.5.0",
  "1.0",
  "1.1",
  "v1.0.0",
  "1.0.0 ",
  " 1.0.0",
  "1.00.0",
  "01.0.0",
  "1.1.0-rc1",
  "x",
];

/** Rules 62–65: VERSION and the negotiation of versions. */
export const VERSIONS: readonly Case[] = [
  {
    rule: 62,
    title: "VERSION tells the input's cniVersion and the supported ones",
    level: "MUST",
    probe: (trial) => {
      for (const cniVersion of ALL) {
        const { stdout } = trial.call("VERSION", null, { cniVersion });
        const told = parsed<Json>(stdout);
        trial.equal(`cniVersion for ${cniVersion}`, told?.cniVersion, cniVersion);
        trial.equal("supportedVersions", told?.supportedVersions, ALL);
      }
    },
  },
  {
    rule: 63,
    title: "the Go library's probe with its dummies gets versions it can decode",
    level: "MUST",
    probe: (trial) => {
      const dummies = { CNI_NETNS: "dummy", CNI_IFNAME: "dummy", CNI_PATH: "dummy" };
      for (const stdin of ['{"cniVersion":"1.1.0"}', "", "{}"]) {
        const done = trial.call("VERSION", null, stdin, dummies);
        trial.added(`probe with ${JSON.stringify(stdin)}`, done);
        const told = parsed<Json>(done.stdout);
        const versions = Array.isArray(told?.supportedVersions) ? told.supportedVersions : [];
        trial.that(typeof told?.cniVersion === "string", "no cniVersion in the answer");
        trial.that(versions.includes("1.1.0"), `1.1.0 is not among ${versions}`);
      }
    },
  },
  {
    rule: 64,
    title: "a missing cniVersion means 0.1.0",
    level: "MUST (library)",
    probe: (trial) => {
      for (const cniVersion of [undefined, ""]) {
        const what = cniVersion === undefined ? "missing" : "empty";
        const result = trial.add(trial.node.pod(), trial.conf({ cniVersion }));
        trial.equal(`${what}: cniVersion of the result`, result.cniVersion, "0.1.0");
        trial.that(
          result.ip4?.ip !== undefined && result.ips === undefined,
          `${what}: not the shape of 0.1.0`,
        );
        const check = trial.call("CHECK", trial.node.pod(), trial.conf({ cniVersion }));
        trial.refused(`${what}: CHECK`, check, { code: 1, msg: "config version does not allow CHECK" });
      }
    },
  },
  {
    rule: 65,
    title: "cniVersion has to be exactly one of the list",
    level: "MUST (library)",
    probe: (trial) => {
      const pod = trial.node.pod();
      for (const cniVersion of STRANGE) {
        for (const command of ["ADD", "DEL"]) {
          const done = trial.call(command, pod, trial.conf({ cniVersion }));
          const error = trial.refused(`${command} under ${JSON.stringify(cniVersion)}`, done, {
            code: 1,
            msg: "incompatible CNI versions",
          });
          const start = `config is "${cniVersion}", plugin supports ["0.1.0"`;
          const details = typeof error?.details === "string" ? error.details : "";
          if (error !== null)
            trial.that(details.startsWith(start), `details are ${details}, wanted ${start}…`);
        }
      }
      for (const cniVersion of [5, {}, ["1.0.0"]]) {
        const done = trial.call("ADD", pod, trial.conf({ cniVersion }));
        trial.refused(`cniVersion ${JSON.stringify(cniVersion)}`, done, { code: 6 });
      }
    },
  },
];
