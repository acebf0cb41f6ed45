import type { Ipam } from "../../../doctor/sections/ipam.ts";
import { observeIpam } from "../../admin/ipam/observe.ts";
import type { DoctorContext } from "./context.ts";

/** Who holds which address. Folders of the host are looked for below its root; stores of ours are where they say. */
export async function collectIpam({ host, settings, agent }: DoctorContext): Promise<Ipam> {
  const { root, stateDir, confDir } = settings;
  const places = {
    stateDir,
    confDir,
    storeDir: `${root}/var/lib/cni/networks`,
    cacheDir: `${root}/var/lib/cni`,
  };
  return await observeIpam(places, agent, host);
}
