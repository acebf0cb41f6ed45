import * as v from "valibot";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { FAMILIES, type Family } from "../../net/address.ts";
import type { ClusterNode } from "../../net/node.ts";
import { formatPrefix } from "../../net/prefix.ts";
import { LAB_DEVICE, labNetns, netnsPath } from "../../topology/lab.ts";
import { TUNNEL_NAMES } from "../../topology/tunnel.ts";

/** How a node sends to the pods of another one. */
export type PathKind = "direct" | "tunnel" | "none";

/** The way from one node to a pod CIDR of another, as the kernel's routes have it. */
export interface LabPath {
  readonly from: string;
  readonly to: string;
  readonly family: Family;
  /** As text. */
  readonly cidr: string;
  readonly path: PathKind;
}

const RouteOutput = v.array(v.looseObject({ dst: v.string(), dev: v.optional(v.string()) }));

/** The ways between all nodes, two listings a node. Throws HostError when routes can't be read. */
export async function observePaths(nodes: readonly ClusterNode[], host: Host): Promise<LabPath[]> {
  const paths: LabPath[] = [];
  for (const { name: from } of nodes) {
    const devices = await observeDevices(netnsPath(labNetns(from)), host);
    for (const { name: to, podCidrs } of nodes) {
      if (to === from) continue;
      for (const cidr of podCidrs.map(formatPrefix)) {
        const family = cidr.includes(":") ? 6 : 4;
        paths.push({ from, to, family, cidr, path: kindOf(devices.get(cidr)) });
      }
    }
  }
  return paths;
}

/** Destinations, as `ip` prints them, and the link each goes out by. */
async function observeDevices(netns: string, host: Host): Promise<Map<string, string>> {
  const devices = new Map<string, string>();
  for (const family of FAMILIES) {
    const { exitCode, stdout, stderr } = await host.spawn({
      argv: ["ip", "-j", `-${family}`, "route", "show"],
      netns,
    });
    const parsed = v.safeParse(RouteOutput, exitCode === 0 ? JSON.parse(stdout.trim() || "[]") : null);
    if (!parsed.success) throw new HostError(`no routes of ${netns}: ${stderr.trim()}`, "is the lab whole?");
    for (const { dst, dev } of parsed.output) if (dev !== undefined) devices.set(dst, dev);
  }
  return devices;
}

function kindOf(device: string | undefined): PathKind {
  if (device === LAB_DEVICE) return "direct";
  return Object.values(TUNNEL_NAMES).some((name) => name === device) ? "tunnel" : "none";
}
