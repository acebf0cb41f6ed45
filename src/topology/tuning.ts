import type { Tuning } from "../cni/tuning.ts";
import type { NetnsPath, Step } from "../plan/step.ts";

/** What tells whose sandbox is tuned, and how. */
export interface TunedPod {
  readonly netns: NetnsPath;
  readonly ifname: string;
  readonly tuning: Tuning | null;
}

/** Settings of the pod's end while it is down, then sysctls: behind our own, so that those which were asked for hold. */
export function tuningSteps({ netns, ifname, tuning }: TunedPod): Step[] {
  if (tuning === null) return [];
  // The pair is born with its MTU.
  const { sysctls, mtu: _, ...set } = tuning;
  const why = "tuning of the pod's end";
  return [
    ...(Object.keys(set).length === 0 ? [] : [{ op: "link.set", netns, name: ifname, set, why } as const]),
    ...sysctls.map(
      ([key, value]): Step => ({
        op: "sysctl.set",
        netns,
        key,
        value,
        optional: false,
        why: "sysctls of the sandbox that the configuration asks for",
      }),
    ),
  ];
}
