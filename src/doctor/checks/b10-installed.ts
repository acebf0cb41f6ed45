import { quoteWord } from "../../plan/format.ts";
import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import { restartAgent } from "../restart.ts";
import type { Installed } from "../sections/installed.ts";
import { someOf } from "../some.ts";

const TITLE = "installed programs and configuration";

/** B10: what was installed once goes on to run when the agent is another one by now (multus#1283); and what somebody edited. */
export const installedCheck = check("B10", TITLE, ["installed"], ({ installed }) => {
  const { plugin, standalone, agent, conflist, binDir } = installed;
  const isHere =
    agent !== null || standalone !== null || (plugin !== null && plugin.kind !== "other") || isOurs(conflist);
  if (!isHere) return [skip(`${TITLE}: minicni is not installed in ${binDir}`)];
  const found = [
    ...judgePlugin(installed),
    ...judgeStandalone(installed),
    ...judgeModes(installed),
    ...judgeLoopback(installed),
    ...judgeConflist(installed),
    ...judgeOld(installed),
  ];
  if (found.length > 0) return found;
  const version = standalone?.version ?? plugin?.version ?? "?";
  return [
    pass(
      `the plugin in ${binDir} is minicni ${version}${agent === null ? "" : `, as the agent is`}; ${tell(conflist)}`,
      evidenceOf(installed),
    ),
  ];
});

const isOurs = ({ state }: Installed["conflist"]) => state === "same" || state === "differs";
const short = (digest: string | null) => (digest === null ? "no file" : `sha256 ${digest.slice(0, 12)}`);

function tell({ state, path }: Installed["conflist"]): string {
  if (state === "same") return `${path} is as the agent writes it`;
  return state === "none" ? "the agent is to write no configuration" : `there is no ${path} yet`;
}

function evidenceOf({ plugin, standalone, agent, self }: Installed): string[] {
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

/** The init container of the agent's pod installs; without a DaemonSet somebody does. */
function reinstall({ node, binDir, confDir }: Installed): string[] {
  const folders = `--bin-dir ${quoteWord(binDir)} --conf-dir ${quoteWord(confDir)}`;
  return [`${restartAgent(node)}  # or, with the agent's program: minicni install ${folders}`];
}

function judgePlugin(installed: Installed): Verdict[] {
  const { plugin, binDir, self, agent, standalone } = installed;
  const evidence = evidenceOf(installed);
  const fix = reinstall(installed);
  if (plugin === null) {
    return [
      fail({
        message: `there is no plugin ${binDir}/minicni`,
        evidence,
        cause: 'the runtime finds no plugin "minicni": no pod starts, and none that ends is cleaned up',
        fix,
      }),
    ];
  }
  if (plugin.kind === "other") {
    return [
      fail({
        message: `${plugin.path} is none of this minicni's programs`,
        evidence,
        cause:
          "another minicni (the DaemonSet of Go minicni installs under the same name), or a damaged copy: pods get what that one does, or nothing",
        fix: ["kubectl -n kube-system delete daemonset minicni-node  # where it is Go minicni's", ...fix],
      }),
    ];
  }
  if (plugin.kind === "launcher" && standalone === null) {
    return [
      fail({
        message: `${plugin.path} is a launcher, and what it executes, ${binDir}/minicni-standalone, is not there`,
        evidence,
        cause: "as long as the agent takes calls pods start; while it restarts none does",
        fix,
      }),
    ];
  }
  const isComparable = agent !== null && agent.version === self.version;
  if (plugin.kind !== "launcher" || plugin.isSame || !isComparable) return [];
  return [
    warn({
      message: `${plugin.path} is a launcher of another minicni than ${self.version}`,
      evidence,
      cause:
        "an installation ended halfway, or somebody copied it there: it may ask the agent in other words",
      fix,
    }),
  ];
}

/** The plugin's own version, against the agent's. */
function judgeStandalone(installed: Installed): Verdict[] {
  const { plugin, standalone, agent } = installed;
  const program = plugin?.kind === "whole" ? plugin : standalone;
  if (program === null) return [];
  const evidence = evidenceOf(installed);
  const fix = reinstall(installed);
  if (program.version === null) {
    return [
      fail({
        message: `${program.path} does not run as minicni`,
        evidence,
        cause:
          "a damaged copy (a full disk), one for another CPU, or a folder mounted noexec: whatever no agent serves fails",
        fix: [`${program.path} --version`, ...fix],
      }),
    ];
  }
  if (agent === null) return [];
  const isSame = program.version === agent.version;
  const isOther = agent.digest !== null && program.digest !== agent.digest;
  if (isSame && !isOther) return [];
  return [
    warn({
      message: isSame
        ? `${program.path} is another build of minicni ${agent.version} than the agent`
        : `${program.path} is minicni ${program.version}, the agent ${agent.version}`,
      evidence,
      cause:
        "the one was upgraded without the other (multus#1283): pods are attached by the one or the other, and may differ",
      fix,
    }),
  ];
}

function judgeModes(installed: Installed): Verdict[] {
  const programs = [installed.plugin, installed.standalone].filter((one) => one !== null);
  return programs
    .filter(({ hasMode, digest }) => !hasMode && digest !== null)
    .map(({ path }) =>
      warn({
        message: `the mode of ${path} is not 0755: not all may run it, or not its owner alone may write it`,
        evidence: evidenceOf(installed),
        cause:
          "the runtime runs it as root: whoever can write it is root, and without the right to run it no pod starts",
        fix: [`chmod 0755 ${quoteWord(path)}`],
      }),
    );
}

function judgeLoopback(installed: Installed): Verdict[] {
  const { loopback, binDir } = installed;
  if (loopback === "there") return [];
  const path = `${binDir}/loopback`;
  return [
    warn({
      message: loopback === "absent" ? `there is no ${path}` : `${path} can't be run`,
      cause: "containerd up to 2.0 runs it in every sandbox: no pod starts there",
      fix:
        loopback === "absent"
          ? [`ln -s minicni ${quoteWord(path)}`]
          : [`rm ${quoteWord(path)} && ln -s minicni ${quoteWord(path)}`],
    }),
  ];
}

function judgeConflist(installed: Installed): Verdict[] {
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

function judgeOld({ oldConfigs, confDir, ...installed }: Installed): Verdict[] {
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
