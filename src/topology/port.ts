import { HOST, type LinkSettings, type Plan } from "../plan/step.ts";
import { type PortVlans, portVlanSteps, usesVlans } from "./vlan.ts";

/** A host-side veth as a port of its bridge. */
export interface Port extends PortVlans {
  readonly hostVeth: string;
  readonly bridge: string;
  readonly hairpin: boolean;
  readonly isolated: boolean;
}

/** Whether frames must not pass before the port has all that it should: its steps depend on each other. */
export function isGuarded(port: Port): boolean {
  return port.isolated || usesVlans(port);
}

/**
 * Makes a host-side veth that lost its bridge a port again. A deleted bridge takes the port's flags and VLANs with it,
 * and leaves the link up.
 */
export function planReattach(port: Port): Plan {
  const { hostVeth, bridge, hairpin, isolated } = port;
  const set = (settings: LinkSettings, why: string) =>
    ({ op: "link.set", netns: HOST, name: hostVeth, set: settings, why }) as const;
  return [
    ...(isGuarded(port) ? [set({ up: false }, "nothing passes before isolation and VLANs are set")] : []),
    set({ master: bridge }, "the pod's host end lost its bridge"),
    ...portVlanSteps(hostVeth, port),
    set({ up: true, port: { hairpin, ...(isolated ? { isolated } : {}) } }, "up, with its port flags"),
  ];
}
