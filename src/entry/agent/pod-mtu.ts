import { DEFAULT_BRIDGE, type NetConf } from "../../cni/config.ts";
import { messageOf } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { type AttachmentRecord, readRecord, recordedAttachments, writeRecord } from "../../host/records.ts";
import type { AttachmentKey } from "../../ipam/reservation.ts";
import { formatStep } from "../../plan/format.ts";
import { HOST, type NetnsPath, type Plan, type Step } from "../../plan/step.ts";
import { attachmentLock, formatKey } from "../call.ts";
import { findPublished } from "../node.ts";
import { knownNetworks } from "./networks.ts";

/** What a pass changed, as commands, and what it could not. */
export interface PodMtuReport {
  readonly changes: readonly string[];
  readonly faults: readonly string[];
}

/** Of an attachment's lock: an ADD or DEL that runs settles the MTU itself, or takes the link away. */
const LOCK_MS = 500;
const OBSERVE_MS = 10_000;

/**
 * Gives pods that are there the MTU that was published after they came: a link that became narrower (a tunnel, a cloud
 * that changed its own) would else swallow their large packets, and one that became wider is not used. Only links that
 * have the MTU of their record, of networks whose configuration says none: whoever chose one knows why.
 * `openHost`: the machine for so many milliseconds.
 */
export function createPodMtu(
  openHost: (timeoutMs: number) => Host,
  settings: { readonly stateDir: string; readonly confDir: string },
): { pass(): Promise<PodMtuReport> } {
  let settled: string | null = null;
  return {
    pass: async () => {
      const host = openHost(OBSERVE_MS);
      const mtu = findPublished(settings.stateDir, host)?.mtu ?? null;
      if (mtu === null) return { changes: [], faults: [] };
      const { networks } = knownNetworks(host, settings);
      const confs = networks.flatMap(({ conf, file }) => (file !== null && !conf.raw.mtu ? [conf] : []));
      const keys = confs.flatMap((conf) =>
        recordedAttachments(host, conf.stateDir, conf.network).map((key) => ({ conf, key })),
      );
      // Records are read when the MTU or the pods are others: in nearly no pass.
      const seen = `${mtu} ${keys.map(({ key }) => formatKey(key)).join()}`;
      if (seen === settled) return { changes: [], faults: [] };
      const changes: string[] = [];
      const faults: string[] = [];
      let isBusy = false;
      for (const { conf, key } of keys) {
        const record = readRecord(host, conf.stateDir, key);
        // An ADD that runs may have looked at the MTU before it was this one.
        if (record !== null && record.phase !== "complete" && record.bootId === host.bootId()) isBusy = true;
        if (!needsMtu(record, mtu, host)) continue;
        try {
          const own = openHost(LOCK_MS);
          await own.withAttachmentLock(attachmentLock(conf), formatKey(key), () =>
            change(conf, key, mtu, openHost(OBSERVE_MS), changes, faults),
          );
        } catch (error) {
          faults.push(`${formatKey(key)}: ${messageOf(error)}`);
        }
      }
      if (faults.length === 0 && !isBusy) settled = seen;
      return { changes, faults };
    },
  };
}

/** Whether the attachment is alive and its link has an MTU that we chose, and another one. */
function needsMtu(record: AttachmentRecord | null, mtu: number, host: Host): record is AttachmentRecord {
  if (record?.phase !== "complete" || record.kind !== "bridge" || record.bootId !== host.bootId())
    return false;
  // args.cni.mtu: this pod's own.
  if (record.tuning?.mtu !== undefined) return false;
  const present = host.link(record.hostVeth)?.mtu;
  // That of the wish as well: a pass that was cut short goes on.
  return record.mtu !== mtu && (present === record.mtu || present === mtu);
}

/** Both ends and the bridge; the record last, so that what failed is tried again. */
async function change(
  conf: NetConf,
  key: AttachmentKey,
  mtu: number,
  host: Host,
  changes: string[],
  faults: string[],
): Promise<void> {
  const record = readRecord(host, conf.stateDir, key);
  if (!needsMtu(record, mtu, host)) return;
  if (!canEnter(record.netns, host)) {
    faults.push(
      `${formatKey(key)}: its namespace ${record.netns} can't be entered: its MTU stays ${record.mtu} (in a container /run/netns has to be mounted with HostToContainer)`,
    );
    return;
  }
  const bridge = record.bridge === DEFAULT_BRIDGE ? host.link(record.bridge) : null;
  const plan: Plan = [
    ...(bridge?.mtu === record.mtu ? [set(HOST, record.bridge, mtu)] : []),
    set(HOST, record.hostVeth, mtu),
    set(record.netns, key.ifname, mtu),
  ];
  const failures = await host.executeEach(plan);
  changes.push(...plan.map(formatStep));
  faults.push(...failures.map(({ command, message }) => `\`${command}\`: ${message}`));
  if (failures.length === 0) writeRecord(host, conf.stateDir, key, { ...record, mtu });
}

/** What can't even be opened (EACCES: a file under a mount that a container does not have) is no namespace for us. */
function canEnter(netns: NetnsPath, host: Host): boolean {
  try {
    return host.isNetns(netns);
  } catch {
    return false;
  }
}

function set(netns: NetnsPath, name: string, mtu: number): Step {
  return { op: "link.set", name, set: { mtu }, netns, why: "the node network's MTU changed" };
}
