import { quoteWord } from "../../plan/format.ts";
import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import { restartAgent } from "../restart.ts";
import type { Installed } from "../sections/installed.ts";
import { someOf } from "../some.ts";
import { evidenceOf, judgeConflist, judgeOld } from "./b10-configuration.ts";

const TITLE = "installed programs and configuration";

/** B10: what was installed once goes on to run when the agent is another one by now (multus#1283); and what somebody edited. */
export const installedCheck = check("B10", TITLE, ["installed"], ({ installed }) => {
  const { plugin, standalone, agent, conflist, binDir } = installed;
  const isHere =
    agent !== null || standalone !== null || (plugin !== null && plugin.kind !== "other") || isOurs(conflist);
  const hasNothing = plugin === null && standalone === null;
  if (isHere && hasNothing) return [...judgeNothing(installed), ...judgeConflist(installed)];
  if (!isHere) return [skip(`${TITLE}: minicni is not installed in ${binDir}`)];
  const found = [
    ...judgePlugin(installed),
    ...judgeStandalone(installed),
    ...judgeModes(installed),
    ...judgeLoopback(installed),
    ...judgeTemporaries(installed),
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

function tell({ state, path }: Installed["conflist"]): string {
  if (state === "same") return `${path} is as the agent writes it`;
  return state === "none" ? "the agent is to write no configuration" : `there is no ${path} yet`;
}

/** The init container of the agent's pod installs; without a DaemonSet somebody does. */
function reinstall({ node, binDir, confDir }: Installed): string[] {
  const folders = `--bin-dir ${quoteWord(binDir)} --conf-dir ${quoteWord(confDir)}`;
  return [`${restartAgent(node)}  # or, with the agent's program: minicni install ${folders}`];
}

/** An agent or a configuration of ours is here: the programs are elsewhere, or nowhere. */
function judgeNothing(installed: Installed): Verdict[] {
  return [
    warn({
      message: `nothing of minicni is installed in ${installed.binDir}`,
      evidence: evidenceOf(installed),
      cause:
        "either the runtime takes its plugins from another folder (A8), or nobody installed them: then no pod starts",
      fix: [
        "minicni doctor --only A8  # then, with the right folder: --bin-dir FOLDER",
        ...reinstall(installed),
      ],
    }),
  ];
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

function judgeTemporaries(installed: Installed): Verdict[] {
  const { temporaries } = installed;
  if (temporaries.length === 0) return [];
  return [
    warn({
      message: `an installer was killed, and left ${someOf(temporaries)}`,
      evidence: [...temporaries, ...evidenceOf(installed)],
      cause:
        "no runtime runs it, and it takes the room of a whole program on the disk; what is installed may be of before the upgrade",
      fix: [`rm ${temporaries.map(quoteWord).join(" ")}`, ...reinstall(installed)],
    }),
  ];
}
