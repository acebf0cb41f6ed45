import type { Host } from "../host/machine.ts";
import type { AttachmentRecord } from "../host/records.ts";
import { observeSysctls, type SandboxLink } from "../host/sandbox.ts";
import type { ObservedLink } from "../plan/state.ts";
import { limitFault } from "../topology/bandwidth.ts";

/** What keeps a pod to its limits, as its record tells them, and is not as it was made; `veth`: the host's end. */
export function shapingFaults(
  veth: ObservedLink,
  { ingress, egress, ifb: name }: AttachmentRecord,
  host: Host,
): string[] {
  if (ingress === null && egress === null) return [];
  const shaping = host.shaping(veth.index);
  const faults = ingress === null ? [] : [limitFault(veth, shaping, ingress)];
  if (egress !== null && name !== null) {
    const ifb = host.link(name);
    if (ifb === null) return [...faults, `ifb ${name} of ${veth.name} is missing`].filter(isFault);
    faults.push(
      ifb.up ? null : `ifb ${name} of ${veth.name} is down, wanted up`,
      limitFault(ifb, host.shaping(ifb.index), egress),
      shaping.redirectedTo === ifb.index ? null : `what ${veth.name} receives does not go by ifb ${name}`,
    );
  }
  return faults.filter(isFault);
}

/** Settings of the pod's end, and sysctls of its sandbox, that the record names and that are others now. */
export async function tuningFaults(
  link: SandboxLink | null,
  { tuning, ifname }: AttachmentRecord,
  netns: string,
  host: Host,
): Promise<string[]> {
  if (tuning === null || link === null) return [];
  const { promisc, allmulti, txQueueLength, sysctls } = tuning;
  const wanted = { promisc, allmulti, txQueueLength };
  const settings = (["promisc", "allmulti", "txQueueLength"] as const).map((key) =>
    wanted[key] === undefined || wanted[key] === link[key]
      ? null
      : `${key} of ${ifname} is ${link[key]}, wanted ${wanted[key]}`,
  );
  const values = await observeSysctls(
    host,
    netns,
    sysctls.map(([key]) => key),
  );
  const others = sysctls.map(([key, value]) => {
    const found = values.get(key);
    if (found === undefined || (found !== null && isSameValue(found, value))) return null;
    return `sysctl ${key} in ${netns} is ${found ?? "not there"}, wanted ${value}`;
  });
  return [...settings, ...others].filter(isFault);
}

function isFault(fault: string | null): fault is string {
  return fault !== null;
}

/** The kernel tells numbers in decimal with a tab between, however they were written (proc_dointvec: base 0). */
function isSameValue(found: string, wanted: string): boolean {
  const [a, b] = [found, wanted].map((text) => text.trim().split(/\s+/).map(canonicalWord).join(" "));
  return a === b;
}

function canonicalWord(word: string): string {
  if (/^[+-]?0[0-7]+$/.test(word)) return String(Number.parseInt(word, 8));
  return /^([+-]?\d{1,15}|0x[0-9a-f]{1,12})$/i.test(word) ? String(Number(word)) : word;
}
