import type { Command } from "commander";
import type { Call } from "../commands.ts";
import { createCommand, runAction } from "../output/command.ts";
import { formatManual, type ManualWords } from "../output/man.ts";
import { VERSION } from "../version.ts";
import { loadWords } from "./tree.ts";

const WORDS: ManualWords = {
  version: VERSION,
  summary: "a Kubernetes pod network in one binary",
  description:
    "Without arguments and with CNI_COMMAND in the environment it is a CNI plugin, called by a container runtime. " +
    "With a command it is for people: an agent that keeps the node's part of the pod network right, and tools that show " +
    "what there is, what is wrong, and what would be changed.",
  exitCodes: [
    ["0", "done, or all well"],
    [
      "1",
      "something is wrong with what was looked at (doctor, status, ipam verify, connectivity), or a change failed",
    ],
    ["2", "misused, or the command itself failed: nothing of what it printed counts"],
    ["3", "a dry run or a plan found something to change"],
  ],
  files: [
    [
      "/etc/cni/net.d/10-minicni.conflist",
      "network configuration, written by the agent once the node is ready",
    ],
    ["/opt/cni/bin/minicni, minicni-standalone", "the plugin that runtimes call, and this program"],
    ["/run/minicni/node.json", "what the agent tells the plugin of this node"],
    ["/run/minicni/agent.json", "what the agent last said of itself; read by status, doctor, plan"],
    ["/run/minicni/attachments", "records of what is attached"],
    ["/var/lib/cni/networks", "reservations of addresses, one file each, as host-local has them"],
    ["/var/lib/minicni/nodes.json", "the last known Nodes"],
  ],
  seeAlso:
    "ip(8), iptables(8), nft(8), and the documentation beside the source: docs/cli.md, docs/operations.md.",
};

/** The command line of `minicni man`, without an action. */
export function createManualCommand(): Command {
  return createCommand("man", "prints the manual page", [
    ["minicni man | man -l -", "read it"],
    ["minicni man > /usr/local/share/man/man8/minicni.8", "keep it"],
  ]);
}

/** `minicni man`. Returns the exit code: 0 printed, 2 misused. */
export function runManual(call: Call): Promise<number> {
  const { args, host, print } = call;
  return runAction(createManualCommand(), args, host, { print, width: null }, async () => {
    print(formatManual(await loadWords(call), WORDS));
    return 0;
  });
}
