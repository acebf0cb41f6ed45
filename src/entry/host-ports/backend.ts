import { CNI_CODE, CniError } from "../../cni/errors.ts";
import type { HostPortBackend } from "../../cni/port-mappings.ts";
import { chooseVariant, plainVariant } from "../../host/iptables.ts";
import type { Host } from "../../host/machine.ts";
import { iptablesProgram } from "../../plan/format.ts";
import type { IptablesVariant } from "../../plan/step.ts";

/** How long a process goes by the variant that it chose, in milliseconds. */
const VARIANT_PERIOD_MS = 20_000;

/** What keeps host ports here: what is configured (null: nothing is), else iptables, else nft alone. Throws code 11 where there is neither. */
export function chooseBackend(wanted: HostPortBackend | null, host: Host): HostPortBackend {
  const has = (backend: HostPortBackend) =>
    host.findProgram(backend === "iptables" ? iptablesProgram(4, undefined, "restore") : "nft") !== null;
  const order: HostPortBackend[] = wanted === null ? ["iptables", "nftables"] : [wanted];
  const found = order.find(has);
  if (found !== undefined) return found;
  const programs = order
    .map((backend) => (backend === "iptables" ? "iptables-restore" : "nft"))
    .join(" nor ");
  throw new CniError(
    CNI_CODE.tryAgainLater,
    `a pod asks for host ports, and ${order.length > 1 ? `neither ${programs} is` : `no ${programs} is`} on the PATH`,
    wanted === null ? "install iptables or nftables" : `install it, or choose another backend than ${wanted}`,
  );
}

/** The variant by its own programs; undefined: by the plain ones, since it has no others or none was chosen. */
export function usableVariant(variant: IptablesVariant | null, host: Host): IptablesVariant | undefined {
  if (variant === null) return undefined;
  return host.findProgram(iptablesProgram(4, variant, "restore")) === null ? undefined : variant;
}

let chosen: { readonly variant: IptablesVariant; readonly at: number } | null = null;

/**
 * Which iptables the first rules go into: what `iptables` is on a node; in a process that serves calls, which may be in a
 * container with an iptables of its own, the one that kubelet and kube-proxy use.
 */
export async function firstVariant(host: Host): Promise<IptablesVariant> {
  if (host.defer === undefined) return await plainVariant(host);
  const now = performance.now();
  if (chosen === null || now - chosen.at > VARIANT_PERIOD_MS) {
    const { variant } = await chooseVariant(host);
    chosen = { variant: variant ?? (await plainVariant(host)), at: now };
  }
  return chosen.variant;
}
