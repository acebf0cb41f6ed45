import type { Host } from "../../host/machine.ts";
import type { ObservedLink } from "../../plan/state.ts";
import type { Step } from "../../plan/step.ts";

/** Of a bridge that is only planned; no link has it. */
const PLANNED_INDEX = -1;

/**
 * A machine that notes the steps it is given in place of running them; a bridge that they would make is seen as made, so
 * that what hangs on it is planned as well. No lock is taken: nothing changes that it would keep whole.
 */
export function noteSteps(machine: Host): { readonly host: Host; readonly steps: readonly Step[] } {
  const steps: Step[] = [];
  const note = (plan: readonly Step[]) => {
    steps.push(...plan);
  };
  const host: Host = {
    ...machine,
    execute: async (plan) => note(plan),
    executeEach: async (plan) => {
      note(plan);
      return [];
    },
    withLock: async (_path, _timeoutMs, work) => work(),
    link: (name) => machine.link(name) ?? plannedBridge(name, steps),
    addresses: (index) => (index === PLANNED_INDEX ? [] : machine.addresses(index)),
  };
  return { host, steps };
}

function plannedBridge(name: string, steps: readonly Step[]): ObservedLink | null {
  const link = steps
    .flatMap((step) => (step.op === "link.add" ? [step.link] : []))
    .find((made) => made.name === name);
  if (link?.kind !== "bridge") return null;
  const { mac = "", mtu = 0, vlanFiltering = false } = link;
  return {
    index: PLANNED_INDEX,
    name,
    kind: "bridge",
    up: true,
    mtu,
    mac,
    masterIndex: null,
    portState: null,
    hairpin: null,
    isolated: null,
    promisc: false,
    allmulti: false,
    txQueueLength: 0,
    vlanFiltering,
    alias: "",
    vxlan: null,
  };
}
