import type { Cloud } from "../../../doctor/sections/cloud.ts";
import type { DoctorContext } from "./context.ts";

/** What the firmware says of the machine, and what the agent says of the ways to its peers. */
export function collectCloud(context: DoctorContext): Cloud {
  const { agent, node } = context;
  return {
    dmi: {
      sys_vendor: readDmi(context, "sys_vendor"),
      product_name: readDmi(context, "product_name"),
      product_version: readDmi(context, "product_version"),
      chassis_asset_tag: readDmi(context, "chassis_asset_tag"),
      board_asset_tag: readDmi(context, "board_asset_tag"),
    },
    node,
    backend: agent?.settings.backend ?? null,
    direct: (agent?.peers ?? []).filter(({ path }) => path === "direct").map(({ name }) => name),
  };
}

/** Below the root folder first, for a container without its own /sys; else the machine's. */
function readDmi({ host, settings }: DoctorContext, name: string): string {
  for (const root of new Set([settings.root, ""])) {
    try {
      const text = host.readFile(`${root}/sys/class/dmi/id/${name}`);
      if (text !== null) return text.trim();
    } catch {
      // Some of them are for root alone.
    }
  }
  return "";
}
