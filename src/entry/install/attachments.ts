import type { Host } from "../../host/machine.ts";
import { type AttachmentRecord, readRecord, recordedAttachments } from "../../host/records.ts";
import {
  type AttachmentKey,
  addressOfFile,
  isHeldBy,
  parseReservation,
  reservationFile,
} from "../../ipam/reservation.ts";
import { type Address, parseAddress } from "../../net/address.ts";
import { hostVethName } from "../../net/ifname.ts";
import type { ObservedLink } from "../../plan/state.ts";
import { HOST, type Step } from "../../plan/step.ts";
import { parseVethAlias } from "../../topology/alias.ts";
import { OWN_NETWORK } from "../../topology/conflist.ts";
import { planFolderRemoval, planPodLinksRemoval, podLinks, removeFile } from "../../topology/uninstall.ts";
import { isStoreFile } from "../../topology/uninstall-files.ts";
import { formatKey } from "../call.ts";
import { isNetnsFile } from "../gc.ts";
import type { UninstallSettings } from "./options.ts";
import { namesIn, readText } from "./read.ts";

/** The pods of a node, as uninstall sees them. */
export interface AttachmentsRemoval {
  /** Those that live, in words. */
  readonly live: readonly string[];
  /** Links, then reservations, then records: a killed run leaves what tells of the rest. */
  readonly steps: readonly Step[];
  readonly notes: readonly string[];
  /** Whose tracked connections are to be forgotten. */
  readonly addresses: readonly Address[];
}

interface Recorded {
  readonly key: AttachmentKey;
  readonly record: AttachmentRecord | null;
}

/** What has to go for no attachment to be left, dead or alive. */
export function planAttachmentsRemoval(
  host: Host,
  settings: UninstallSettings,
  links: readonly ObservedLink[],
): AttachmentsRemoval {
  const folder = `${settings.stateDir}/attachments`;
  const networks = namesIn(folder, host) ?? [];
  const recorded = networks.flatMap((network) =>
    recordedAttachments(host, settings.stateDir, network).map((key) => ({
      key,
      record: readRecord(host, settings.stateDir, key),
    })),
  );
  const stores = planStores(host, settings, recorded);
  const records = networks.map((network) =>
    planFolderRemoval(
      `${folder}/${network}`,
      namesIn(`${folder}/${network}`, host),
      (name) => /^[^:]+:[^:]+\.json(\.tmp)?$/.test(name),
      "records of attachments",
    ),
  );
  const others = recorded.filter(({ record }) => record?.ipam != null);
  return {
    live: describeLive(host, recorded, links),
    steps: [...planPodLinksRemoval(links), ...stores.steps, ...records.flatMap(({ steps }) => steps)],
    notes: [
      ...records.flatMap(({ notes }) => notes),
      ...others.map(
        ({ key, record }) =>
          `the addresses of ${formatKey(key)} are managed by ${record?.ipam}, which is not told: DEL it by its runtime first`,
      ),
    ],
    addresses: stores.addresses,
  };
}

/** Alive is what has a link, or a namespace that is there under a name of its own. */
function describeLive(host: Host, recorded: readonly Recorded[], links: readonly ObservedLink[]): string[] {
  const veths = podLinks(links);
  const veth = ({ network, containerId, ifname }: AttachmentKey) =>
    hostVethName(network, containerId, ifname);
  const hasLink = (key: AttachmentKey) => veths.some(({ name }) => name === veth(key));
  const live = recorded.flatMap(({ key, record }) => {
    const hasNetns =
      record !== null && record.bootId === host.bootId() && isNetnsFile(record) && host.isNetns(record.netns);
    if (!hasNetns && !hasLink(key)) return [];
    return [`${formatKey(key)} (${record?.netns || veth(key)})`];
  });
  const known = new Set(recorded.map(({ key }) => veth(key)));
  const unknown = veths.filter(({ name }) => !known.has(name));
  return [
    ...live,
    ...unknown.map(({ name, alias }) => {
      const key = parseVethAlias(alias);
      return key === null ? name : `${formatKey(key)} (${name})`;
    }),
  ];
}

/** Our own network's folders of reservations whole; of any other what is an attachment's of ours, and our markers. */
function planStores(
  host: Host,
  { cniDir }: UninstallSettings,
  recorded: readonly Recorded[],
): { readonly steps: readonly Step[]; readonly addresses: readonly Address[] } {
  const root = `${cniDir}/networks`;
  const folders = new Map<string, string>();
  const networks = namesIn(root, host) ?? [];
  for (const network of networks) folders.set(`${root}/${network}`, network);
  for (const { key, record } of recorded) {
    if (record?.ipam === null) folders.set(`${record.dataDir}/${key.network}`, key.network);
  }
  const why = "reservations of addresses";
  const steps: Step[] = [];
  const addresses: Address[] = [];
  for (const [path, network] of folders) {
    const names = namesIn(path, host);
    if (network === OWN_NETWORK) {
      const removal = planFolderRemoval(path, names, (name) => isStoreFile(name, true), why).steps;
      steps.push(...removal);
      // Made by the first reservation of any network; when it was ours nobody else needs it.
      const isAlone = path === `${root}/${OWN_NETWORK}` && networks.length === 1;
      if (isAlone && removal.some((step) => step.op === "folder.remove")) {
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
  return { steps, addresses };
}

function isHolder(host: Host, folder: string, address: Address, key: AttachmentKey): boolean {
  const owner = parseReservation(readText(`${folder}/${reservationFile(address)}`, host) ?? "");
  return owner !== null && isHeldBy(owner, key);
}
