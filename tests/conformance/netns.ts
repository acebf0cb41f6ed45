import type { Case } from "./trial.ts";

/** Rule 60: the plugin's own namespace is none for a container. */
export const NETNS: readonly Case[] = [
  {
    rule: 60,
    title: "CNI_NETNS must not be the plugin's own namespace; nothing is touched",
    level: "MUST (library)",
    probe: (trial) => {
      const own = { id: "own", netns: trial.node.netns, ifname: "lo" };
      const wanted = { code: 8, msg: "plugin's netns and netns from CNI_NETNS should not be the same" };
      for (const ifname of ["lo", "eth0"]) {
        for (const command of ["ADD", "DEL"]) {
          trial.refused(`${command} of ${ifname}`, trial.call(command, { ...own, ifname }), wanted);
        }
      }
      const itself = { ...own, netns: "/proc/self/ns/net", ifname: "eth0" };
      trial.refused("ADD by another path", trial.call("ADD", itself), wanted);
      const links = trial.node.links().map(({ ifname }) => ifname);
      trial.equal("links of the node afterwards", links, ["lo"]);
      trial.that(trial.node.link("lo")?.flags.includes("UP") === true, "lo was taken down");
      trial.add(trial.node.pod());
    },
  },
];
