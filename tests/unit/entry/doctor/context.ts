import type { DoctorContext } from "../../../../src/entry/doctor/collect/context.ts";
import { createFakeMachine } from "../../../twin/machine.ts";

/** A run of the doctor on a machine with these files; `root`: where the host's are. */
export function contextOf(files: Readonly<Record<string, string>>, root = ""): DoctorContext {
  const host = createFakeMachine("/nowhere");
  for (const [path, text] of Object.entries(files)) host.files.set(path, text);
  // A folder is asked for so, that a link to one counts.
  if (root !== "") host.files.set(`${root}/.`, "");
  return {
    host,
    settings: {
      root,
      stateDir: "/run/minicni",
      dataDir: "/var/lib/minicni",
      confDir: "/etc/cni/net.d",
      binDir: "/opt/cni/bin",
      mayProbe: false,
    },
    agent: null,
    agentFault: null,
    cluster: { snapshot: null, states: new Map(), source: null, isLive: false, fault: null },
    node: null,
  };
}
