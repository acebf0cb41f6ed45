import type { StepFailure } from "../../host/machine.ts";
import { TUNNEL_NAMES } from "../../topology/tunnel.ts";
import { isForwarding } from "../forwarding.ts";
import type { NetworkOutcome } from "./network.ts";

type Outcome = Pick<NetworkOutcome, "failures" | "deviceFaults" | "paths">;

/** The tunnel devices that a path leads through. */
function neededTunnels({ paths }: Outcome): ReadonlySet<string> {
  return new Set(paths.flatMap((path) => (path.kind === "tunnel" ? [TUNNEL_NAMES[path.underlay]] : [])));
}

const TUNNELS: readonly string[] = Object.values(TUNNEL_NAMES);

/**
 * Why pods had better not come to this node yet; null when they may. A peer that is not reached does not count: it is
 * harmless to the rest.
 */
export function findBlock(outcome: Outcome): string | null {
  const needed = neededTunnels(outcome);
  // A device's fault begins with its name.
  const device = outcome.deviceFaults.find((fault) => needed.has(fault.split(" ")[0] ?? ""));
  if (device !== undefined) return device;
  const isEssential = ({ step }: StepFailure) =>
    isForwarding(step) || (step.op === "link.add" && needed.has(step.link.name));
  const failure = outcome.failures.find(isEssential);
  return failure === undefined ? null : `\`${failure.command}\`: ${failure.message}`;
}

/** The failures that somebody misses: a tunnel device to which no path leads is there for peers that may come. */
export function missedFailures(outcome: Outcome): readonly StepFailure[] {
  const needed = neededTunnels(outcome);
  const spare = TUNNELS.filter((name) => !needed.has(name));
  return outcome.failures.filter(({ step }) => !spare.some((name) => isAbout(step, name)));
}

function isAbout(step: StepFailure["step"], name: string): boolean {
  switch (step.op) {
    case "link.add":
      return step.link.name === name;
    case "link.set":
    case "link.del":
    case "link.offload":
      return step.name === name;
    case "addr.replace":
    case "addr.del":
      return step.dev === name;
    case "sysctl.set":
      return step.key.includes(`/${name}/`);
    default:
      return false;
  }
}
