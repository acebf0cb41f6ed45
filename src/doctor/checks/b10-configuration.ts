import { quoteWord } from "../../plan/format.ts";
import { fail, skip, type Verdict, warn } from "../finding.ts";
import { restartAgent } from "../restart.ts";
import type { Installed } from "../sections/installed.ts";
import { someOf } from "../some.ts";

const short = (digest: string | null) => (digest === null ? "no file" : `sha256 ${digest.slice(0, 12)}`);

/** Programs by path, version and digest. */
export function evidenceOf({ plugin, standalone, agent, self }: Installed): string[] {
  return [
    ...(plugin === null
      ? []
      : [`${plugin.path}: ${describePlugin(plugin.kind, plugin.version)}, ${short(plugin.digest)}`]),
    ...(standalone === null
      ? []
      : [
          `${standalone.path}: ${standalone.version === null ? "tells no version" : `minicni ${standalone.version}`}, ${short(standalone.digest)}`,
        ]),
    ...(agent === null
      ? []
      : [`the agent: minicni ${agent.version}${agent.digest === null ? "" : `, ${short(agent.digest)}`}`]),
    `this program: ${self.path}, minicni ${self.version}`,
  ];
}

function describePlugin(kind: "launcher" | "whole" | "other", version: string | null): string {
  return { launcher: "a launcher of minicni", whole: `minicni ${version}`, other: "none of ours" }[kind];
}

/** The agent's own conflist, against what it would write. */
export function judgeConflist(installed: Installed): Verdict[] {
  const { conflist, agent } = installed;
  const { path, state, drift } = conflist;
  if (state === "unreadable") return [skip(`${path}: not looked at: ${drift[0] ?? ""}`)];
  if (state === "absent" && agent?.isRunning === true && agent.isReady) {
    return [
      fail({
        message: `there is no ${path}, and the agent is ready`,
        evidence: evidenceOf(installed),
        cause:
          "somebody removes it, or the agent writes into another folder: without it the runtime gives pods to nobody, and the node is NotReady",
        fix: [
          "# the agent writes it within seconds; see where it does: minicni status",
          restartAgent(installed.node),
        ],
      }),
    ];
  }
  if (state !== "differs") return [];
  const lines = drift.length === 0 ? ["the same settings in other characters"] : drift;
  return [
    warn({
      message: `${path} is not as the agent writes it: ${someOf(lines, 2)}`,
      evidence: lines.map((line) => `${path}: ${line}`),
      cause:
        agent?.isRunning === true
          ? "the agent writes its own again within seconds: what is changed there by hand does not last"
          : "somebody edited it, or another version wrote it: the next agent writes its own in its place",
      fix: [
        `rm ${quoteWord(path)}  # the agent writes it anew`,
        "# settings are the agent's (docs/settings.md); a configuration of your own belongs into a file of another name, sorted before it",
      ],
    }),
  ];
}

/** What an earlier minicni was told by. */
export function judgeOld({ oldConfigs, confDir, ...installed }: Installed): Verdict[] {
  if (oldConfigs.length === 0) return [];
  const paths = oldConfigs.map((name) => `${confDir}/${name}`);
  return [
    warn({
      message: `${someOf(paths)} ${paths.length === 1 ? "is" : "are"} of Go minicni`,
      evidence: paths,
      cause:
        "where it sorts before ours the runtime takes it: pods get addresses of its subnet, by a plugin that is none of ours",
      fix: [
        "kubectl -n kube-system delete daemonset minicni-node  # it would write it again",
        ...paths.map(
          (path) =>
            `mv ${quoteWord(path)} ${quoteWord(`${path}.replaced`)}  # as minicni install does; uninstall takes it back`,
        ),
        ...(installed.agent === null ? [] : [restartAgent(installed.node)]),
      ],
    }),
  ];
}
