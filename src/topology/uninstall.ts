import { DEFAULT_BRIDGE } from "../cni/config.ts";
import { HOST_VETH_PREFIX, isHostVethName, isIfbName } from "../net/ifname.ts";
import { formatDeletion } from "../plan/route-spec.ts";
import type { RouteTable } from "../plan/route-table.ts";
import type { ObservedLink } from "../plan/state.ts";
import { HOST, ROUTE_PROTOCOL, type Step } from "../plan/step.ts";
import { parseVethAlias } from "./alias.ts";
import { TUNNEL_NAMES } from "./tunnel.ts";

/** What has to go, and what stays although somebody may expect otherwise. */
export interface Removal {
  readonly steps: readonly Step[];
  readonly notes: readonly string[];
}

/** Routes with our protocol number, both families, whatever link they are by. */
export function planRoutesRemoval(table: RouteTable, links: readonly ObservedLink[]): Step[] {
  const names = new Map(links.map(({ index, name }) => [index, name]));
  const steps: Step[] = [];
  for (let index = 0; index < table.count; index++) {
    const route = table.at(index);
    if (route.protocol !== ROUTE_PROTOCOL) continue;
    const spec = formatDeletion(route, names.get(route.ifindex) ?? "");
    steps.push({ op: "route.del", route: spec, netns: HOST, why: `routes of protocol ${ROUTE_PROTOCOL}` });
  }
  return steps;
}

/** Host-side ends of pods' veth pairs. One whose alias says something else is somebody else's. */
export function podLinks(links: readonly ObservedLink[]): ObservedLink[] {
  return links.filter(isPodLink);
}

function isPodLink({ name, kind, alias }: ObservedLink): boolean {
  return kind === "veth" && isHostVethName(name) && isOurAlias(alias);
}

/** What limits a pod's sending; it outlives a veth pair that went with its sandbox. */
function isPodIfb({ name, kind, alias }: ObservedLink): boolean {
  return kind === "ifb" && isIfbName(name) && isOurAlias(alias);
}

function isOurAlias(alias: string): boolean {
  return alias === "" || parseVethAlias(alias) !== null;
}

/** Takes pods' links away; before their addresses are free (plugins#666). */
export function planPodLinksRemoval(links: readonly ObservedLink[]): Step[] {
  const ours = [...podLinks(links), ...links.filter(isPodIfb)];
  return ours.map(({ name }) => ({
    op: "link.del",
    name,
    netns: HOST,
    why: "links of pods",
    isAtomic: true,
  }));
}

/** Ports of our bridge that are not minicni's: with the bridge they lose their network. */
export function foreignPorts(links: readonly ObservedLink[]): string[] {
  const bridge = links.find(({ name, kind }) => name === DEFAULT_BRIDGE && kind === "bridge");
  const foreign = links.filter(
    (link) =>
      bridge !== undefined && link.masterIndex === bridge.index && !isGatewayPort(link) && !isPodLink(link),
  );
  return foreign.map(({ name }) => name);
}

function isGatewayPort({ name, kind }: ObservedLink): boolean {
  return kind === "veth" && name.startsWith(`${HOST_VETH_PREFIX}g`) && /^[0-9a-f]{10}$/.test(name.slice(5));
}

/**
 * Gateway ports (`mcnig…`), the bridge and the tunnels. A link of our name but another kind is somebody else's, and so is
 * the bridge with `isOthers`.
 */
export function planDevicesRemoval(
  links: readonly ObservedLink[],
  { isOthers }: { readonly isOthers: boolean },
): Removal {
  const wanted = new Map<string, string>([
    ...(isOthers ? [] : [[DEFAULT_BRIDGE, "bridge"] as const]),
    ...Object.values(TUNNEL_NAMES).map((name) => [name, "vxlan"] as const),
  ]);
  const isOurs = (link: ObservedLink) => isGatewayPort(link) || wanted.get(link.name) === link.kind;
  const order = (link: ObservedLink) => (isGatewayPort(link) ? 0 : 1);
  const ours = links.filter(isOurs).sort((a, b) => order(a) - order(b));
  return {
    steps: ours.map(({ name }) => ({
      op: "link.del",
      name,
      netns: HOST,
      why: "devices of minicni",
      isAtomic: true,
    })),
    notes: links
      .filter((link) => wanted.has(link.name) && !isOurs(link))
      .map(({ name, kind }) => `${name} is no ${wanted.get(name)} but ${kind || "a device"}: it stays`),
  };
}

/**
 * Empties a folder of what `isOurs` says yes to, and removes it when nothing else is in it; what else is there is told.
 * `names` null: there is no such folder.
 */
export function planFolderRemoval(
  path: string,
  names: readonly string[] | null,
  isOurs: (name: string) => boolean,
  why: string,
): Removal {
  if (names === null) return { steps: [], notes: [] };
  const others = names.filter((name) => !isOurs(name));
  const files = names.filter(isOurs).sort();
  const steps = files.map((name): Step => removeFile(`${path}/${name}`, why));
  return others.length === 0
    ? { steps: [...steps, { op: "folder.remove", path, netns: HOST, why }], notes: [] }
    : { steps, notes: [`${path} stays, with what is not minicni's: ${others.sort().join(", ")}`] };
}

/** Whether the steps remove what is at this path. */
export function removes(steps: readonly Step[], path: string): boolean {
  return steps.some((step) => "path" in step && step.path === path);
}

/** A step that removes one file. */
export function removeFile(path: string, why: string): Step {
  return { op: "file.remove", path, netns: HOST, why };
}

/** Several removals as one, in order. */
export function joinRemovals(removals: readonly Removal[]): Removal {
  return {
    steps: removals.flatMap(({ steps }) => steps),
    notes: removals.flatMap(({ notes }) => notes),
  };
}
