import type { Host } from "../../host/machine.ts";
import { type AttachmentRecord, isRecordFile, readRecord, recordedAttachments } from "../../host/records.ts";
import {
  type AttachmentKey,
  addressOfFile,
  isHeldBy,
  parseReservation,
  reservationFile,
} from "../../ipam/reservation.ts";
import { type Address, parseAddress } from "../../net/address.ts";
import { HOST, type Step } from "../../plan/step.ts";
import { OWN_NETWORK } from "../../topology/conflist.ts";
import {
  joinRemovals,
  planFolderRemoval,
  type Removal,
  removeFile,
  removes,
} from "../../topology/uninstall.ts";
import { isStoreFile } from "../../topology/uninstall-files.ts";
import { formatKey } from "../call.ts";
import { namesIn, readText } from "../read.ts";
import type { UninstallSettings } from "./options.ts";

/** An attachment by the name of its record; null: that can't be understood. */
export interface Recorded {
  readonly key: AttachmentKey;
  readonly record: AttachmentRecord | null;
}

/** What has to go for no attachment to be left, dead or alive. */
export interface AttachmentsRemoval extends Removal {
  /** Whose tracked connections are to be forgotten. */
  readonly addresses: readonly Address[];
}

/** All that was recorded, of any network. Throws what the disk says. */
export function readAttachments(host: Host, stateDir: string): Recorded[] {
  const networks = namesIn(`${stateDir}/attachments`, host) ?? [];
  return networks.flatMap((network) =>
    recordedAttachments(host, stateDir, network).map((key) => ({
      key,
      record: readRecord(host, stateDir, key),
    })),
  );
}

/** Links, then reservations, then records: a killed run leaves what tells of the rest. Throws what the disk says. */
export function planAttachmentsRemoval(
  host: Host,
  settings: UninstallSettings,
  recorded: readonly Recorded[],
): AttachmentsRemoval {
  const folder = `${settings.stateDir}/attachments`;
  const stores = planStores(host, settings, recorded);
  const records = (namesIn(folder, host) ?? []).map((network) =>
    planFolderRemoval(
      `${folder}/${network}`,
      namesIn(`${folder}/${network}`, host),
      isRecordFile,
      "records of attachments",
    ),
  );
  const managed = recorded.flatMap(({ key, record }) =>
    record?.ipam == null
      ? []
      : [
          `the addresses of ${formatKey(key)} are managed by ${record.ipam}, which is not told: DEL it by its runtime first`,
        ],
  );
  return {
    ...joinRemovals([stores, ...records, { steps: [], notes: managed }]),
    addresses: stores.addresses,
  };
}

/** Our own network's folders of reservations whole; of any other what is an attachment's of ours, and our markers. */
function planStores(
  host: Host,
  { cniDir }: UninstallSettings,
  recorded: readonly Recorded[],
): AttachmentsRemoval {
  const root = `${cniDir}/networks`;
  const folders = new Map<string, string>();
  const networks = namesIn(root, host) ?? [];
  for (const network of networks) folders.set(`${root}/${network}`, network);
  for (const { key, record } of recorded) {
    if (record?.ipam === null) folders.set(`${record.dataDir}/${key.network}`, key.network);
  }
  const why = "reservations of addresses";
  const steps: Step[] = [];
  const notes: string[] = [];
  const addresses: Address[] = [];
  for (const [path, network] of folders) {
    const names = namesIn(path, host);
    if (network === OWN_NETWORK) {
      const whole = planFolderRemoval(path, names, (name) => isStoreFile(name, true), why);
      steps.push(...whole.steps);
      notes.push(...whole.notes);
      // Made by the first reservation of any network; when it was ours nobody else needs it.
      const isAlone = path === `${root}/${OWN_NETWORK}` && networks.length === 1;
      if (isAlone && removes(whole.steps, path)) {
        steps.push({ op: "folder.remove", path: root, netns: HOST, why });
      }
      addresses.push(...(names ?? []).flatMap((name) => addressOfFile(name) ?? []));
      continue;
    }
    const held = recorded
      .filter(({ key, record }) => key.network === network && record?.ipam === null)
      .flatMap(({ key, record }) =>
        (record?.addresses ?? []).flatMap((text) => {
          const address = parseAddress(text);
          return address !== null && isHolder(host, path, address, key) ? [address] : [];
        }),
      );
    addresses.push(...held);
    steps.push(...held.map((address) => removeFile(`${path}/${reservationFile(address)}`, why)));
    const markers = (names ?? []).filter((name) => isStoreFile(name, false)).sort();
    steps.push(...markers.map((name) => removeFile(`${path}/${name}`, why)));
  }
  return { steps, notes, addresses };
}

function isHolder(host: Host, folder: string, address: Address, key: AttachmentKey): boolean {
  const owner = parseReservation(readText(`${folder}/${reservationFile(address)}`, host) ?? "");
  return owner !== null && isHeldBy(owner, key);
}
