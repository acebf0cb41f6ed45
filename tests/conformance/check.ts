import type { Json, Pod } from "./node.ts";
import type { Case, Result, Trial } from "./trial.ts";

/** CHECK by the result of ADD. */
function check(trial: Trial, pod: Pod, prevResult: Result | Json, conf = trial.conf()) {
  return trial.call("CHECK", pod, { ...conf, prevResult });
}

/** Ways to break an attachment from outside, each in a container of its own. */
const DAMAGES: readonly (readonly [string, (trial: Trial, pod: Pod) => void])[] = [
  ["interface gone", ({ node }, pod) => node.inside(pod.netns, "ip", "link", "del", "eth0")],
  ["address gone", ({ node }, pod) => node.inside(pod.netns, "ip", "addr", "flush", "dev", "eth0")],
  ["route gone", ({ node }, pod) => node.inside(pod.netns, "ip", "route", "del", "default")],
  ["reservation gone", ({ node }) => node.inside(node.netns, "rm", "-rf", `${node.dir}/data/net1`)],
  ["bridge gone", ({ node }) => node.inside(node.netns, "ip", "link", "del", "br0")],
];

/** Rules 44–49: CHECK. */
export const CHECK: readonly Case[] = [
  {
    rule: 44,
    title: "CHECK looks into prevResult, and needs it",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      const prevResult = trial.add(pod);
      trial.silent("CHECK", check(trial, pod, prevResult));
      trial.refused("without prevResult", trial.call("CHECK", pod));
      const elsewhere = {
        ...prevResult,
        ips: [{ address: "10.1.2.99/24", gateway: "10.1.2.1", interface: 2 }],
      };
      trial.refused("an address that is not there", check(trial, pod, elsewhere));
      const named = prevResult.interfaces?.filter(({ sandbox }) => sandbox !== pod.netns) ?? [];
      const renamed = [...named, { name: "eth9", sandbox: pod.netns }];
      trial.refused(
        "an interface that is not there",
        check(trial, pod, { ...prevResult, interfaces: renamed }),
      );
    },
  },
  {
    rule: 45,
    title: "CHECK allows what later plugins of the list changed",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      const prevResult = trial.add(pod);
      const inside = (...argv: string[]) => trial.node.inside(pod.netns, "ip", ...argv);
      inside("route", "add", "10.60.0.0/16", "via", "10.1.2.1");
      inside("addr", "add", "10.61.0.1/24", "dev", "eth0");
      inside("link", "add", "tun9", "type", "bridge");
      inside("link", "set", "tun9", "up");
      inside("link", "set", "eth0", "mtu", "1400");
      trial.silent("CHECK after changes", check(trial, pod, prevResult));
      const interfaces = [...(prevResult.interfaces ?? []), { name: "tun9", sandbox: pod.netns }];
      trial.silent("CHECK with a further interface", check(trial, pod, { ...prevResult, interfaces }));
    },
  },
  {
    rule: 46,
    title: "CHECK finds an interface, address, route or reservation that is gone",
    level: "SHOULD",
    probe: (trial) => {
      for (const [what, damage] of DAMAGES) {
        const pod = trial.node.pod();
        const prevResult = trial.add(pod);
        damage(trial, pod);
        trial.refused(what, check(trial, pod, prevResult));
        trial.call("DEL", pod);
      }
    },
  },
  {
    rule: 47,
    title: "CHECK works right after ADD",
    level: "MUST",
    probe: (trial) => {
      const both = { ranges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd00:12::/64" }]] };
      const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
      for (const cniVersion of ["0.4.0", "1.0.0", "1.1.0"]) {
        const pod = trial.node.pod();
        const conf = trial.conf({ cniVersion }, { ...both, routes });
        const prevResult = trial.add(pod, conf);
        trial.silent(`CHECK under ${cniVersion}`, check(trial, pod, prevResult, conf));
      }
    },
  },
  {
    rule: 48,
    title: "CHECK is forwarded to the delegated plugin, and its error is ours",
    level: "SHOULD",
    probe: (trial) => {
      const { ipam, conf } = trial.fake();
      const pod = trial.node.pod();
      const prevResult = trial.add(pod, conf);
      trial.silent("CHECK", check(trial, pod, prevResult, conf));
      ipam.fail("CHECK", 119, "not mine");
      const done = check(trial, pod, prevResult, conf);
      trial.refused("CHECK", done, { code: 119, msg: /not mine/ });
      trial.equal("calls", ipam.commands(), ["ADD", "CHECK", "CHECK"]);
    },
  },
  {
    rule: 49,
    title: "no CHECK before 0.4.0",
    level: "MUST (library)",
    probe: (trial) => {
      const pod = trial.node.pod();
      for (const cniVersion of ["0.1.0", "0.2.0", "0.3.0", "0.3.1", undefined]) {
        const done = trial.call("CHECK", pod, trial.conf({ cniVersion }));
        const wanted = { code: 1, msg: "config version does not allow CHECK" };
        trial.refused(`CHECK under ${cniVersion}`, done, wanted);
      }
    },
  },
];
