import { writeFileSync } from "node:fs";
import { type Case, few } from "./trial.ts";

/** Rules 38–43: DEL. */
export const DEL: readonly Case[] = [
  {
    rule: 38,
    title: "DEL removes the interface, the node's end and the reservation",
    level: "SHOULD",
    probe: (trial) => {
      const pod = trial.node.pod();
      const conf = trial.conf({}, few(1));
      const prevResult = trial.add(pod, conf);
      trial.silent("DEL", trial.call("DEL", pod, { ...conf, prevResult }));
      trial.that(trial.node.link("eth0", pod.netns) === undefined, "eth0 is left");
      trial.equal("veths of the node", trial.node.veths(), []);
      trial.free("after DEL", 1, conf);
    },
  },
  {
    rule: 39,
    title: "DEL gets as far as it can, whatever is missing",
    level: "SHOULD",
    probe: (trial) => {
      const conf = trial.conf({}, few(1));
      const gone = trial.node.pod();
      trial.add(gone, conf);
      trial.node.removeNamespace(gone);
      trial.silent("DEL after the namespace went", trial.call("DEL", gone, conf));
      const linkless = trial.node.pod();
      trial.add(linkless, conf);
      trial.node.inside(linkless.netns, "ip", "link", "del", "eth0");
      trial.silent("DEL after the interface went", trial.call("DEL", linkless, conf));
      const rebooted = trial.node.pod();
      trial.add(rebooted, conf);
      trial.node.removeNamespace(rebooted);
      const file = { ...rebooted, netns: plainFile(trial.node.dir) };
      trial.silent("DEL with a plain file for CNI_NETNS", trial.call("DEL", file, conf));
      trial.call("DEL", { ...rebooted, netns: "" }, conf);
      const bridgeless = trial.node.pod();
      trial.add(bridgeless, conf);
      trial.node.inside(trial.node.netns, "ip", "link", "del", "br0");
      trial.silent("DEL after the bridge went", trial.call("DEL", bridgeless, conf));
      trial.equal("veths of the node", trial.node.veths(), []);
      trial.free("after four DELs", 1, conf);
    },
  },
  {
    rule: 40,
    title: "DEL succeeds any number of times, also for what was never added",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      trial.silent("DEL before any ADD", trial.call("DEL", pod));
      const prevResult = trial.add(pod);
      for (const time of [1, 2, 3]) {
        trial.silent(`DEL ${time}`, trial.call("DEL", pod, trial.conf({ prevResult })));
      }
      trial.that(trial.node.link("eth0", pod.netns) === undefined, "eth0 is left");
      const again = trial.call("ADD", pod);
      trial.added("ADD after DEL", again);
    },
  },
  {
    rule: 41,
    title: "DEL does without prevResult",
    level: "SHOULD",
    probe: (trial) => {
      const conf = trial.conf({}, few(1));
      for (const prevResult of [undefined, null, {}, { cniVersion: "1.0.0" }]) {
        for (const cniVersion of ["0.3.1", "1.0.0"]) {
          const pod = trial.node.pod();
          trial.add(pod, { ...conf, cniVersion });
          const what = `DEL under ${cniVersion} with prevResult ${JSON.stringify(prevResult)}`;
          trial.silent(what, trial.call("DEL", pod, { ...conf, cniVersion, prevResult }));
          trial.that(trial.node.link("eth0", pod.netns) === undefined, `${what}: eth0 is left`);
        }
      }
    },
  },
  {
    rule: 42,
    title: "DEL is called of the delegated plugin, and its error is ours",
    level: "MUST",
    probe: (trial) => {
      const { ipam, conf } = trial.fake();
      const pod = trial.node.pod();
      trial.add(pod, conf);
      ipam.fail("DEL", 118, "can't release");
      trial.refused("DEL", trial.call("DEL", pod, conf), { code: 118, msg: /can't release/ });
      trial.equal("calls", ipam.commands(), ["ADD", "DEL"]);
    },
  },
  {
    rule: 43,
    title: "CNI_NETNS may be empty or lead nowhere on DEL, and IPAM is released",
    level: "MUST",
    probe: (trial) => {
      const conf = trial.conf({}, few(1));
      const ends: readonly (readonly [string, () => string])[] = [
        ["an empty CNI_NETNS", () => ""],
        ["a path that is not there", () => "/run/netns/mconf-nowhere"],
      ];
      for (const [what, netns] of ends) {
        const pod = trial.node.pod();
        trial.add(pod, conf);
        trial.node.removeNamespace(pod);
        trial.silent(`DEL with ${what}`, trial.call("DEL", { ...pod, netns: netns() }, conf));
      }
      trial.free("after the DELs", 1, conf);
    },
  },
];

/** What is left of a namespace's mount point after a reboot. */
function plainFile(dir: string): string {
  const path = `${dir}/netns`;
  writeFileSync(path, "");
  return path;
}
