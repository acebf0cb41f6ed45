import { messageOf } from "../../../host/errors.ts";
import type { Host } from "../../../host/machine.ts";
import type { KnownCluster } from "../../admin/nodes.ts";
import type { AgentReport } from "../../agent/report.ts";

/** Where a node has what is ours, and what the doctor was told. */
export interface DoctorSettings {
  /** Put before paths of the host's files (/etc, /run, /usr/lib): for a container that has the host's root elsewhere. "" or /host. */
  readonly root: string;
  readonly stateDir: string;
  /** Last known Nodes. */
  readonly dataDir: string;
  readonly confDir: string;
  readonly binDir: string;
  /** To ask the API by; absent: as the agent does. */
  readonly kubeconfig?: string;
  /** Whether packets may be sent: B5 and B6 ask peers' kernels. */
  readonly mayProbe: boolean;
}

/** What collectors work with. */
export interface DoctorContext {
  readonly host: Host;
  readonly settings: DoctorSettings;
  /** What the agent of this node says of itself; null: none ever did, or its file is damaged (`agentFault`). */
  readonly agent: AgentReport | null;
  readonly agentFault: string | null;
  /** The Nodes, from wherever they can be had. */
  readonly cluster: KnownCluster;
  /** Name of the own Node; null: not known. */
  readonly node: string | null;
}

/** What could not be seen, with the reason as a person reads it; a collector throws it, or anything else. */
export class Unseen extends Error {}

/** Looks at one thing. Throws {@link Unseen}, or what the machine says. */
export type Collector<T> = (context: DoctorContext) => T | Promise<T>;

/**
 * Throws Unseen where the host's files are not to be seen from here: nothing may be concluded from a container's own /etc.
 */
export function requireHostFiles(
  { host, settings: { root } }: Pick<DoctorContext, "host" | "settings">,
  env: Readonly<Record<string, string | undefined>> = process.env,
): void {
  if (root === "" && env.KUBERNETES_SERVICE_HOST) {
    throw new Unseen(
      "a pod does not see the host's files: run minicni-standalone doctor on the node, or mount its root and name it by --root",
    );
  }
  if (root !== "" && host.observeFile(`${root}/.`) === null) throw new Unseen(`there is no folder ${root}`);
}

/** The text of a host's file; null when there is none. Throws Unseen when it can't be read. */
export function readHostFile(context: DoctorContext, path: string): string | null {
  const { host, settings } = context;
  requireHostFiles(context);
  try {
    return host.readFile(`${settings.root}${path}`);
  } catch (error) {
    throw new Unseen(`${settings.root}${path} can't be read: ${messageOf(error)}`);
  }
}

/** A number that stands alone in a file of /proc or /sys, which are never below `root`; null when there is none. */
export function readNumber({ host }: Pick<DoctorContext, "host">, path: string): number | null {
  const text = host.readFile(path)?.trim();
  return text !== undefined && /^-?[0-9]+$/.test(text) ? Number(text) : null;
}
