import { asksForBandwidth } from "../cni/bandwidth.ts";
import { type Doubled, findDoubled, type ServedCapability } from "../cni/doubled.ts";
import { CNI_CODE, CniError } from "../cni/errors.ts";
import type { Host } from "../host/machine.ts";
import { configFiles } from "../topology/conflist.ts";
import type { Call } from "./call.ts";

/** Where runtimes have their lists, unless the installer was told otherwise. */
const CONF_DIR = "/etc/cni/net.d";
const VARIABLE = "MINICNI_CONF_DIR";
/** Of a list at most; a bigger file is something else. */
const MAX_TEXT = 1 << 20;

/**
 * Refuses what would be done twice: our own plugin and one behind it in the list declare the same capability. The limit of
 * the second fails with words that name neither ("file exists"), and of host ports two sets of rules lead to the pod.
 * Looks at the lists only for a pod that asks for it. Throws code 7.
 */
export function refuseDoubled({ conf, variables }: Call, host: Host): void {
  const { raw, network } = conf;
  const asked: readonly ServedCapability[] = [
    ...(raw.runtimeConfig?.portMappings?.length ? (["portMappings"] as const) : []),
    ...(asksForBandwidth(raw) ? (["bandwidth"] as const) : []),
  ];
  if (asked.length === 0) return;
  const found = listDoubled(variables[VARIABLE] || CONF_DIR, host, network);
  const doubled = found.find(({ capability }) => asked.includes(capability));
  if (doubled === undefined) return;
  throw new CniError(CNI_CODE.invalidConfig, describeDoubled(doubled), ADVICE);
}

const ADVICE = "take the capability from one of them, or that plugin out of the list: minicni does the same";

/** A doubled capability, and the list that has it. */
export interface FoundDoubled extends Doubled {
  readonly file: string;
}

/** Doubled capabilities in the lists of a folder; `network` null: of whatever network. */
export function listDoubled(folder: string, host: Host, network: string | null = null): FoundDoubled[] {
  return configFiles(host.listFolder(folder)).flatMap((name) => {
    const file = `${folder}/${name}`;
    const text = host.readFile(file) ?? "";
    return text.length > MAX_TEXT ? [] : findDoubled(text, network).map((it) => ({ ...it, file }));
  });
}

/** In words, without what to do. */
export function describeDoubled({ capability, plugin, file }: FoundDoubled): string {
  return `${file} declares the capability ${capability} for minicni and for ${plugin}: it would be done twice`;
}
