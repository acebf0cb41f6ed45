import { deletePod, type IpamFault } from "./ipam-fault.ts";
import { describeHolder, isDead, stateOfAttachment } from "./ipam-states.ts";
import type { IpamAttachment, IpamNetwork, IpamReservation } from "./sections/ipam.ts";

/** What records and pods say against the store. */
export function judgeRecords(network: IpamNetwork): IpamFault[] {
  const store = {
    byContainer: Map.groupBy(network.reservations, ({ containerId }) => containerId ?? ""),
    byAddress: Map.groupBy(network.reservations, ({ address }) => address),
  };
  return [
    ...judgeDoubles(network),
    ...network.attachments.flatMap((it) => judgeAttachment(it, store, network)),
  ];
}

/** Two pods with one address on one network: each gets some of the other's packets. */
function judgeDoubles({ network, attachments }: IpamNetwork): IpamFault[] {
  const byAddress = new Map<string, IpamAttachment[]>();
  for (const attachment of attachments) {
    for (const address of attachment.podAddresses ?? []) {
      byAddress.set(address, [...(byAddress.get(address) ?? []), attachment]);
    }
  }
  return [...byAddress].flatMap(([address, holders]): IpamFault[] => {
    const [first, second] = holders;
    if (first === undefined || second === undefined || first.netns === second.netns) return [];
    return [
      {
        kind: "double",
        level: "fail",
        network,
        address,
        message: `${address} is on ${holders.map(describeHolder).join(" and on ")}`,
        evidence: holders.map(
          ({ netns, ifname, podAddresses }) => `${netns} ${ifname}: ${podAddresses?.join(" ")}`,
        ),
        fix: deletePod(second.pod),
      },
    ];
  });
}

/** The reservations of a network, to be looked up. */
interface IndexedStore {
  readonly byContainer: ReadonlyMap<string, readonly IpamReservation[]>;
  readonly byAddress: ReadonlyMap<string, readonly IpamReservation[]>;
}

function judgeAttachment(attachment: IpamAttachment, store: IndexedStore, network: IpamNetwork): IpamFault[] {
  const { record } = attachment;
  const state = stateOfAttachment(attachment, true);
  if (state === "busy") return [];
  const holds = (it: IpamReservation) =>
    it.containerId === attachment.containerId && (it.ifname === attachment.ifname || it.ifname === "");
  const hasReservation = store.byContainer.get(attachment.containerId)?.some(holds) === true;
  if (record === null || record === "torn") {
    // With a reservation that says it already.
    return attachment.hostVeth === null || hasReservation ? [] : [describeLost(attachment, network)];
  }
  if (isDead(state)) return hasReservation ? [] : [describeLeftover(attachment, state, network)];
  if (record.ipam !== null) return [];
  return record.addresses.flatMap((address) => {
    const there = (store.byAddress.get(address) ?? []).filter(({ dataDir }) => dataDir === record.dataDir);
    if (there.some(holds)) return [];
    return [describeMismatch(attachment, address, there[0] ?? null, network)];
  });
}

function describeMismatch(
  attachment: IpamAttachment,
  address: string,
  other: IpamReservation | null,
  { network, store }: IpamNetwork,
): IpamFault {
  const holder = describeHolder(attachment);
  const owner = other?.containerId ?? null;
  return {
    kind: other === null ? "unreserved" : "mismatch",
    level: "fail",
    network,
    address,
    message:
      other === null
        ? `${address} of ${holder} is not reserved: the next pod may be given it`
        : `${address} is by its record of ${holder}, by its reservation of ${owner === null ? "nobody" : `container ${owner}`}`,
    evidence: [
      `record of ${attachment.containerId} ${attachment.ifname}: ${address}`,
      other === null
        ? `${store}/${address}: no such file`
        : `${other.file}: ${owner ?? "names nobody"} ${other.ifname}`,
    ],
    fix: deletePod(attachment.pod),
  };
}

function describeLost(
  { containerId, ifname, hostVeth, pod, record }: IpamAttachment,
  { network }: IpamNetwork,
): IpamFault {
  const name = hostVeth?.name ?? "";
  const lost = record === "torn" ? "a record that can't be read" : "no record";
  return {
    kind: "no record",
    level: "warn",
    network,
    address: null,
    message: `${name} of ${describeHolder({ containerId, ifname, pod })} has ${lost}, and no reservation`,
    evidence: [`link ${name}${hostVeth?.bridge ? ` master ${hostVeth.bridge}` : ""}`],
    fix: deletePod(pod),
  };
}

function describeLeftover(attachment: IpamAttachment, state: string, { network }: IpamNetwork): IpamFault {
  const { containerId, ifname, hostVeth, netns } = attachment;
  return {
    kind: "leftover",
    level: "note",
    network,
    address: null,
    message: `a record is left of ${describeHolder(attachment)} (${state}), which holds no address any more`,
    evidence: [
      `record of ${containerId} ${ifname}`,
      ...(hostVeth === null ? [] : [`link ${hostVeth.name}`]),
      ...(netns === null ? [] : [`namespace ${netns}: ${attachment.netnsState}`]),
    ],
    fix: "# the agent's leak check or the next GC removes it",
  };
}
