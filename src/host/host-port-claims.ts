import * as v from "valibot";
import { formatAddress, parseAddress } from "../net/address.ts";
import { type HostPort, type HostPortClaim, PORT_PROTOCOLS } from "../net/host-port.ts";
import { formatPrefix, parsePrefix } from "../net/prefix.ts";
import type { IptablesVariant } from "../plan/step.ts";
import { parseJson } from "./json.ts";
import type { Host } from "./machine.ts";

const PortSchema = v.object({
  protocol: v.picklist(PORT_PROTOCOLS),
  hostIp: v.nullable(v.string()),
  hostPort: v.number(),
  containerPort: v.number(),
});

/** What a record says of an attachment's host ports; addresses as text. */
export const HostPortsSchema = v.object({
  ports: v.array(PortSchema),
  targets: v.array(v.string()),
  options: v.object({
    snat: v.boolean(),
    masqAll: v.boolean(),
    markBit: v.number(),
    externalSetMarkChain: v.nullable(v.string()),
    conditions: v.object({ 4: v.array(v.string()), 6: v.array(v.string()) }),
    localhost: v.boolean(),
  }),
  backend: v.picklist(["iptables", "nftables"]),
});
export type RecordedHostPorts = v.InferOutput<typeof HostPortsSchema>;

const ClaimSchema = v.object({
  network: v.string(),
  containerId: v.string(),
  ifname: v.string(),
  bridge: v.string(),
  hostPorts: HostPortsSchema,
});
/** Where rules of host ports can be: the nat tables of iptables, the raw one of IPv4, our table of nftables. */
export const RULE_PLACES = ["ipv4", "ipv6", "raw", "nftables"] as const;
export type RulePlace = (typeof RULE_PLACES)[number];
const LedgerSchema = v.object({
  bootId: v.string(),
  variant: v.nullable(v.picklist(["nft", "legacy"])),
  places: v.array(v.picklist(RULE_PLACES)),
  claims: v.array(ClaimSchema),
});

/** A claim, and what keeps its rules. */
export interface KeptClaim extends HostPortClaim {
  readonly backend: "iptables" | "nftables";
}

/** All claims of a node. */
export interface HostPortLedger {
  /** Which of the two iptables has our rules; null: none has been chosen. */
  readonly variant: IptablesVariant | null;
  /** Where rules of ours may be. */
  readonly places: readonly RulePlace[];
  readonly claims: readonly KeptClaim[];
}

/** No attachment has host ports. */
export const EMPTY_LEDGER: HostPortLedger = { variant: null, places: [], claims: [] };

/** `<stateDir>/hostports`: the claims of all networks, and what the kernel was last seen to have. */
export function hostPortsFolder(stateDir: string): string {
  return `${stateDir}/hostports`;
}

function ledgerPath(stateDir: string): string {
  return `${hostPortsFolder(stateDir)}/claims.json`;
}

/** Taken for each change of the claims; not in their folder, which tells whether there ever was a claim. */
export function claimsLock(stateDir: string): string {
  return `${stateDir}/hostports.lock`;
}

/** Taken for each change of the rules. */
export function portRulesLock(stateDir: string): string {
  return `${stateDir}/portrules.lock`;
}

/** A claim as a record keeps it. */
export function recordedPorts({
  ports,
  targets,
  options,
  backend,
}: Pick<KeptClaim, "ports" | "targets" | "options" | "backend">): RecordedHostPorts {
  return {
    ports: ports.map(({ hostIp, ...rest }) => ({ ...rest, hostIp: hostIp && formatAddress(hostIp) })),
    targets: targets.map(formatPrefix),
    options: {
      ...options,
      conditions: { 4: [...options.conditions[4]], 6: [...options.conditions[6]] },
    },
    backend,
  };
}

/** The claim of a record. */
export function parseHostPorts(
  owner: Pick<HostPortClaim, "network" | "containerId" | "ifname" | "bridge">,
  { ports, targets, options, backend }: RecordedHostPorts,
): KeptClaim {
  const { network, containerId, ifname, bridge } = owner;
  return {
    network,
    containerId,
    ifname,
    bridge,
    ports: ports.map(
      ({ hostIp, ...rest }): HostPort => ({ ...rest, hostIp: hostIp === null ? null : parseAddress(hostIp) }),
    ),
    targets: targets.flatMap((text) => parsePrefix(text) ?? []),
    options,
    backend,
  };
}

/**
 * The claims of this boot's attachments; empty where nobody ever claimed a port. Null: they can't be read (a torn write,
 * another version), are lost, or of another boot, and the records have to be asked.
 */
export function readLedger(host: Host, stateDir: string): HostPortLedger | null {
  const text = host.readFile(ledgerPath(stateDir));
  // The folder comes with the first claim, as the temporary file of it: with anything else in it the claims were lost.
  const isBeginning = (name: string) => name === "claims.json.tmp";
  if (text === null)
    return host.listFolder(hostPortsFolder(stateDir)).every(isBeginning) ? EMPTY_LEDGER : null;
  const kept = ledgers.of(text);
  return kept === null || kept.bootId !== host.bootId() ? null : kept.ledger;
}

/** What a text says; the last one is remembered, since one process may read it again and again, and it may be long. */
class Reader<T> {
  #text = "";
  #value: T | null = null;
  readonly #parse: (json: unknown) => T | null;

  constructor(parse: (json: unknown) => T | null) {
    this.#parse = parse;
  }

  /** Null for a text that can't be read. */
  of(text: string): T | null {
    if (text !== this.#text) {
      this.#value = this.#parse(parseJson(text));
      this.#text = text;
    }
    return this.#value;
  }
}

const ledgers = new Reader((json): { readonly bootId: string; readonly ledger: HostPortLedger } | null => {
  const parsed = v.safeParse(LedgerSchema, json);
  if (!parsed.success) return null;
  const { bootId, variant, places, claims } = parsed.output;
  const read = claims.map(({ hostPorts, ...owner }) => parseHostPorts(owner, hostPorts));
  return { bootId, ledger: { variant, places, claims: read } };
});

/** Whether any attachment has host ports, or had some whose rules are not known to be gone. */
export function hasLedger(host: Host, stateDir: string): boolean {
  const ledger = readLedger(host, stateDir);
  return ledger === null || ledger.claims.length > 0 || ledger.places.length > 0;
}

/** Replaces the claims. An empty ledger is written as well: that there is none means that it was lost. */
export function writeLedger(host: Host, stateDir: string, { variant, places, claims }: HostPortLedger): void {
  const kept = claims.map((claim) => {
    const { network, containerId, ifname, bridge } = claim;
    return { network, containerId, ifname, bridge, hostPorts: recordedPorts(claim) };
  });
  host.writeFile(
    ledgerPath(stateDir),
    JSON.stringify({ bootId: host.bootId(), variant, places, claims: kept }),
  );
}

const RulesSchema = v.record(v.string(), v.array(v.string()));
const ObservedSchema = v.object({
  chains: RulesSchema,
  bases: RulesSchema,
});
const SettledSchema = v.object({
  /** What the rules' generation was when they were as told here; see Host.rulesGeneration. */
  generation: v.string(),
  variant: v.nullable(v.picklist(["nft", "legacy"])),
  /** What was looked at; of the rest nothing is told. */
  places: v.array(v.picklist(RULE_PLACES)),
  families: v.object({ 4: ObservedSchema, 6: ObservedSchema }),
  table: v.nullable(v.object({ digest: v.nullable(v.string()), rules: v.number(), elements: RulesSchema })),
});
/** What the kernel had, as far as it is ours, when a change was done; true as long as the generation is the same. */
export type Settled = v.InferOutput<typeof SettledSchema>;

function settledPath(stateDir: string): string {
  return `${hostPortsFolder(stateDir)}/settled.json`;
}

/** What the kernel was last known to have; null: nothing is known. */
export function readSettled(host: Host, stateDir: string): Settled | null {
  const text = host.readFile(settledPath(stateDir));
  return text === null ? null : settledReader.of(text);
}

const settledReader = new Reader((json): Settled | null => {
  const parsed = v.safeParse(SettledSchema, json);
  return parsed.success ? parsed.output : null;
});

/** Keeps what the kernel has now; null: that is not known. */
export function writeSettled(host: Host, stateDir: string, settled: Settled | null): void {
  // A file in any case: see readLedger.
  host.writeFile(settledPath(stateDir), JSON.stringify(settled));
}

function unsettledPath(stateDir: string): string {
  return `${hostPortsFolder(stateDir)}/unsettled`;
}

/** Addresses of pods that are gone, to which rules may lead still since they could not be removed; as text. */
export function staleTargets(host: Host, stateDir: string): string[] {
  return (host.readFile(unsettledPath(stateDir)) ?? "").split("\n").filter((line) => line !== "");
}

/** Tells who comes later of such addresses; none: there are no such rules any more. */
export function keepStaleTargets(host: Host, stateDir: string, addresses: readonly string[]): void {
  if (addresses.length === 0) host.removeFile(unsettledPath(stateDir));
  else host.writeFile(unsettledPath(stateDir), `${addresses.join("\n")}\n`);
}
