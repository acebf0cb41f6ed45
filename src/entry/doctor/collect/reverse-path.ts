import { DEFAULT_BRIDGE } from "../../../cni/config.ts";
import type { ReversePath } from "../../../doctor/sections/reverse-path.ts";
import { TUNNEL_NAMES } from "../../../topology/tunnel.ts";
import { type DoctorContext, readNumber, Unseen } from "./context.ts";
import { ownBridges } from "./network-view.ts";
import { trySettings } from "./sysctl-files.ts";
import { parseDefaultLinks } from "./uplinks.ts";

const filterOf = (context: DoctorContext, name: string) =>
  readNumber(context, `/proc/sys/net/ipv4/conf/${name}/rp_filter`);

/** What reverse-path filtering is set to on the links that pods' packets take, and who sets it. */
export function collectReversePath(context: DoctorContext): ReversePath {
  const { host, agent } = context;
  const all = filterOf(context, "all");
  if (all === null) throw new Unseen("this kernel has no net.ipv4.conf.all.rp_filter");
  const uplinks = parseDefaultLinks(host.readFile("/proc/net/route") ?? "");
  const bridges = new Set([DEFAULT_BRIDGE, ...ownBridges(context)]);
  const roles = [
    ...uplinks.map((name) => ({ name, role: "uplink" as const })),
    ...[...bridges].map((name) => ({ name, role: "bridge" as const })),
    ...Object.values(TUNNEL_NAMES).map((name) => ({ name, role: "tunnel" as const })),
  ];
  const links = roles.flatMap((link) => {
    const value = filterOf(context, link.name);
    return value === null ? [] : [{ ...link, value }];
  });
  return {
    all,
    links,
    uplinks: uplinks.length,
    drops: findCounter(host.readFile("/proc/net/netstat") ?? "", "TcpExt", "IPReversePathFilter"),
    isTended: agent !== null && agent.stoppedAt === null,
    ...trySettings(context, (key) => /^net\/ipv4\/conf\/[^/]+\/rp_filter$/.test(key)),
  };
}

/** A counter of /proc/net/netstat: a line of names, then one of values. */
function findCounter(text: string, group: string, name: string): number | null {
  const [names = [], values = []] = text
    .split("\n")
    .filter((line) => line.startsWith(`${group}: `))
    .map((line) => line.split(" "));
  const value = values[names.indexOf(name)];
  return value === undefined || !names.includes(name) ? null : Number(value);
}
