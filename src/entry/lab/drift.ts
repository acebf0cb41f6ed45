import type { Host } from "../../host/machine.ts";
import { labNetns, netnsPath } from "../../topology/lab.ts";
import { agentArgv, whyNotReady } from "./agents.ts";
import { inParallel } from "./parallel.ts";
import type { Lab } from "./state.ts";

/** What `minicni agent --once --dry-run` ends with when it would change something. */
const WOULD_CHANGE = 3;
/** A line of an agent's log, its time first. */
const WARNING = /^\S+ warn (.*)/;
/** Last lines of what an agent says that are shown when it failed. */
const MAX_LINES = 8;
/** Agents at once. */
const ASKED = 2;

/** Where the nodes are not as their agents would have them. */
export interface Drift {
  /** One line for each such node: its name, and why. */
  readonly drift: readonly string[];
  /** What the agents warn of: peers that can't be reached, routes of others in the way. The node's name first. */
  readonly remarks: readonly string[];
}

/** Asks each node's agent whether it is ready, and a further one what it would change; nothing is changed. */
export async function observeDrift(lab: Lab, self: readonly string[], host: Host): Promise<Drift> {
  const found = await inParallel(lab.nodes, ASKED, async ({ name }) => {
    const unready = await whyNotReady(name, host);
    const { exitCode, stdout, stderr } = await host.spawn({
      argv: [...agentArgv(name, lab.backend, self), "--once", "--dry-run"],
      netns: netnsPath(labNetns(name)),
      env: { LC_ALL: "C" },
    });
    const said = linesOf(stderr).map((line) => line.replace(/^minicni: /, ""));
    const reasons = [...new Set(linesOf(stdout).flatMap((line) => /^# (.*)/.exec(line)?.[1] ?? []))];
    const change =
      exitCode === 0
        ? []
        : exitCode === WOULD_CHANGE
          ? reasons
          : [`exit ${exitCode}`, ...said.slice(-MAX_LINES)];
    const faults = [...(unready === null ? [] : [unready]), ...change];
    return {
      drift: faults.length === 0 ? [] : [`${name}: ${faults.join("; ")}`],
      remarks: said.flatMap((line) => {
        const warning = WARNING.exec(line)?.[1];
        return warning === undefined ? [] : [`${name}: ${warning}`];
      }),
    };
  });
  return {
    drift: found.flatMap(({ drift }) => drift),
    remarks: found.flatMap(({ remarks }) => remarks),
  };
}

function linesOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}
