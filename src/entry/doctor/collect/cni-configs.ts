import { OTHER_NETWORKS } from "../../../doctor/other-networks.ts";
import type { CniConfigs } from "../../../doctor/sections/cni-configs.ts";
import { messageOf } from "../../../host/errors.ts";
import { isFamilyThere, isTableThere } from "../../../host/iptables.ts";
import { observeProcesses } from "../../../host/processes.ts";
import { FAMILIES, type Family } from "../../../net/address.ts";
import { formatPrefix } from "../../../net/prefix.ts";
import { iptablesProgram } from "../../../plan/format.ts";
import type { IptablesVariant } from "../../../plan/step.ts";
import { describeConfig, foreignBeforeOurs, namesOurPlugin } from "../../../topology/conf-file.ts";
import { configFiles } from "../../../topology/conflist.ts";
import { readConfigs } from "../../read.ts";
import { type DoctorContext, Unseen } from "./context.ts";
import { placeOf } from "./place.ts";
import { askOnce, iptablesVariants, nftTables } from "./rules.ts";

/** Those that every node has, and no pod. */
const OF_HOST = /^(systemd|kubelet|containerd|crio|k3s-(server|agent))$/;
/** The tables that any of them has chains in. */
const TABLES = ["filter", "nat", "mangle", "raw"] as const;

/** Which configuration the runtime takes, and what is left of other network plugins. */
export async function collectCniConfigs(context: DoctorContext): Promise<CniConfigs> {
  const { host, settings } = context;
  const unseen: string[] = [];
  const configs = readFolder(context);
  const read = configFiles(configs.map(({ name }) => name));
  const textOf = (name: string) => configs.find((each) => each.name === name)?.text ?? null;
  const links = host.links();
  const processes = [...new Set(observeProcesses().map(({ name }) => name))];
  const isOther = (name: string) => OTHER_NETWORKS.some(({ links: pattern }) => pattern.test(name));
  return {
    confDir: settings.confDir,
    files: read.map((name) => {
      const text = textOf(name);
      const kind = describeConfig(text);
      return { name, kind, fault: kind === null ? faultOf(text) : null, isOurs: namesOurPlugin(text) };
    }),
    before: foreignBeforeOurs(configs),
    links: links
      .filter(({ name }) => isOther(name))
      .map(({ name, index }) => ({
        name,
        addresses: host.addresses(index).map(({ prefix }) => formatPrefix(prefix)),
      })),
    chains: await readChains(context, unseen),
    tables: await readTables(context, unseen),
    routes: readRoutes(context, new Map(links.map(({ index, name }) => [index, name]))),
    programs: processes.filter((name) => OTHER_NETWORKS.some(({ programs }) => programs.test(name))),
    seesHost: processes.some((name) => OF_HOST.test(name)),
    unseen,
  };
}

function readFolder(context: DoctorContext) {
  const { host, settings } = context;
  try {
    return readConfigs(placeOf(context, settings.confDir), host);
  } catch (error) {
    throw new Unseen(`${settings.confDir} can't be read: ${messageOf(error)}`);
  }
}

/** Why a text is no network configuration. */
function faultOf(text: string | null): string {
  if (text === null) return "can't be read";
  if (text.trim() === "") return "is empty";
  try {
    JSON.parse(text);
    return "is JSON, but no network configuration";
  } catch (error) {
    return `is no JSON (${messageOf(error)})`;
  }
}

async function readChains(context: DoctorContext, unseen: string[]): Promise<CniConfigs["chains"]> {
  const { host } = context;
  const found: CniConfigs["chains"] = [];
  for (const { variant, kind } of await iptablesVariants(host)) {
    for (const family of FAMILIES.filter((each) => isFamilyThere(host, each))) {
      const program = iptablesProgram(family, variant);
      for (const table of tablesThere(host, family, kind, program, unseen)) {
        const argv = [iptablesProgram(family, variant, "save"), "-t", table];
        const { exitCode, stdout, stderr } = await askOnce(context, argv);
        if (exitCode !== 0) {
          unseen.push(`chains of ${program}: ${stderr.trim().split("\n")[0] ?? ""}`);
          break;
        }
        const names = [...stdout.matchAll(/^:(\S+) /gm)].map(([, name = ""]) => name);
        const others = names.filter((name) => OTHER_NETWORKS.some(({ chains }) => chains?.test(name)));
        found.push(...others.map((chain) => ({ program, table, chain })));
      }
    }
  }
  return found;
}

async function readTables(context: DoctorContext, unseen: string[]): Promise<string[]> {
  const found = await nftTables(context);
  if (found === null) return [];
  if (found.exitCode !== 0) unseen.push(`tables of nftables: ${found.stderr.trim().split("\n")[0] ?? ""}`);
  return found.names.filter((name) => OTHER_NETWORKS.some(({ tables }) => tables?.test(name)));
}

function readRoutes({ host }: DoctorContext, devs: ReadonlyMap<number, string>): CniConfigs["routes"] {
  const table = host.routeTable();
  const wanted = new Set(OTHER_NETWORKS.flatMap(({ protocols }) => protocols));
  const found: CniConfigs["routes"] = [];
  for (let index = 0; index < table.count; index++) {
    const { dst, protocol, ifindex } = table.at(index);
    if (!wanted.has(protocol)) continue;
    found.push({
      family: dst.address.family,
      dst: formatPrefix(dst),
      protocol,
      dev: devs.get(ifindex) ?? "",
    });
  }
  return found;
}

/** Tables that can be looked into without making them; none, and told, where that can't be known. */
function tablesThere(
  host: DoctorContext["host"],
  family: Family,
  variant: IptablesVariant,
  program: string,
  unseen: string[],
): string[] {
  try {
    return TABLES.filter((table) => isTableThere(host, family, variant, table));
  } catch (error) {
    unseen.push(`chains of ${program}: ${messageOf(error)}`);
    return [];
  }
}
