import { hashHex } from "../net/hash.ts";
import { HOST, type Plan } from "../plan/step.ts";

/** A host-side veth, and the MAC that may come in by it. */
export interface CheckedPort {
  readonly hostVeth: string;
  readonly mac: string;
}

/** The table of a network (family bridge): our mark and 32 bits of its name's hash. */
export function spoofTable(network: string): string {
  return `minicni_spoof_${hashHex(network).slice(0, 8)}`;
}

/** The one rule, in the words of `nft list`; the ports are set elements, so that a pod changes no rule. */
const RULE = "iifname @checked iifname . ether saddr != @allowed drop";
const CHAIN = "prerouting";

function tableLines(table: string): string[] {
  return [
    `add table bridge ${table}`,
    `add set bridge ${table} checked { type ifname; }`,
    `add set bridge ${table} allowed { type ifname . ether_addr; }`,
  ];
}

function elementLines(verb: "add" | "delete", table: string, { hostVeth, mac }: CheckedPort): string[] {
  return [
    `${verb} element bridge ${table} checked { "${hostVeth}" }`,
    `${verb} element bridge ${table} allowed { "${hostVeth}" . ${mac} }`,
  ];
}

/**
 * The plan that lets a port send from one MAC only, any number of times (`macspoofchk`). To run before the port is in
 * the bridge. A MAC that the port was allowed before stays so: {@link planNoSpoofCheck} first.
 */
export function planSpoofCheck(network: string, port: CheckedPort): Plan {
  const table = spoofTable(network);
  const lines = [
    ...tableLines(table),
    // -300: ahead of all that reads a source address (NF_BR_PRI_NAT_DST_BRIDGED), also where nft lacks the name.
    `add chain bridge ${table} ${CHAIN} { type filter hook prerouting priority -300; policy accept; }`,
    // Flushed within the transaction: the rule is there once, and never missing.
    `flush chain bridge ${table} ${CHAIN}`,
    `add rule bridge ${table} ${CHAIN} ${RULE}`,
    ...elementLines("add", table, port),
  ];
  return [
    {
      op: "rules.nft",
      netns: HOST,
      lines,
      why: "frames with a foreign source MAC are dropped",
      undo: { op: "rules.nft", lines: removalLines(table, port) },
      isAtomic: true,
    },
  ];
}

/** Added first, since deleting an element that is not there would fail. */
function removalLines(table: string, port: CheckedPort): string[] {
  return [...tableLines(table), ...elementLines("add", table, port), ...elementLines("delete", table, port)];
}

/** The plan that forgets a port, there or not. To run when its link is gone: until then it could spoof. */
export function planNoSpoofCheck(network: string, port: CheckedPort): Plan {
  const lines = removalLines(spoofTable(network), port);
  return [{ op: "rules.nft", netns: HOST, lines, why: "the port is gone", isAtomic: true }];
}

/** The plan that removes the network's table, there or not. */
export function planDropSpoofTable(network: string): Plan {
  const table = spoofTable(network);
  const lines = [`add table bridge ${table}`, `delete table bridge ${table}`];
  const why = `network ${network} has no attachment left`;
  return [{ op: "rules.nft", netns: HOST, lines, why, isAtomic: true }];
}

/** The ports and their MACs in the text of `nft list table bridge …`: what DEL and GC find without a record. */
export function checkedPorts(listed: string): CheckedPort[] {
  return setElements(listed, "allowed").flatMap((element): CheckedPort[] => {
    const [, hostVeth, mac] = /^"([^"]+)" \. ([0-9a-f:]{17})$/.exec(element) ?? [];
    return hostVeth === undefined || mac === undefined ? [] : [{ hostVeth, mac }];
  });
}

/** nft breaks long lists into lines, and leaves `elements` out of an empty set. */
function setElements(listed: string, name: string): string[] {
  const [, list = ""] = new RegExp(`set ${name} \\{[^{}]*elements = \\{([^{}]*)\\}`).exec(listed) ?? [];
  return list.split(",").map((element) => element.trim());
}

/** Whether the text of `nft list table bridge …` shows the check of this port, and no other MAC allowed to it. */
export function hasSpoofRule(listed: string, hostVeth: string, mac: string): boolean {
  const isRuled = listed.split("\n").some((line) => line.trim() === RULE);
  const allowed = checkedPorts(listed).filter((port) => port.hostVeth === hostVeth);
  return (
    isRuled &&
    setElements(listed, "checked").includes(`"${hostVeth}"`) &&
    allowed.length === 1 &&
    allowed[0]?.mac === mac.toLowerCase()
  );
}
