import type { StepFailure } from "../../host/machine.ts";
import { TUNNEL_NAMES } from "../../topology/tunnel.ts";
import { isForwarding } from "../forwarding.ts";
import type { NetworkOutcome } from "./network.ts";

type Outcome = Pick<NetworkOutcome, "failures" | "deviceFaults" | "paths" | "devices">;

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
    isForwarding(step) ||
    (step.op === "link.add" && needed.has(step.link.name)) ||
    (step.op === "link.set" && needed.has(step.name) && step.set.up === true);
  const failure = outcome.failures.find(isEssential);
  if (failure === undefined) return null;
  return `\`${failure.command}\`: ${failure.message}${hintOf(failure, outcome)}`;
}

/** A port of UDP has one owner; VXLAN devices share it only as long as all of them have the same extensions. */
function hintOf({ step, message }: StepFailure, { devices }: Outcome): string {
  const device = step.op === "link.set" ? devices.find(({ link }) => link.name === step.name) : undefined;
  if (device === undefined || !message.includes("Address already in use")) return "";
  const { port } = device.link;
  return (
    `: UDP port ${port} is held by a program, or by another VXLAN device with other extensions (gbp, gpe): see ` +
    `\`ss -ulnp sport = :${port}\` and \`ip -d link show type vxlan\`; free it, or choose another one on all nodes by MINICNI_VXLAN_PORT`
  );
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
