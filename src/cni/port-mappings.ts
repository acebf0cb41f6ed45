import type { Family } from "../net/address.ts";
import { parseAddress } from "../net/address.ts";
import {
  collides,
  formatHostPort,
  type HostPort,
  type HostPortOptions,
  PORT_PROTOCOLS,
} from "../net/host-port.ts";
import type { NetConf } from "./config.ts";
import { CNI_CODE, CniError } from "./errors.ts";
import type { RawPortMapping } from "./schema.ts";

/** The bit that portmap takes where nobody says another one; kube-proxy has 14 and 15. */
const MARK_BIT = 13;
/** XT_EXTENSION_MAXNAMELEN − 1 of include/uapi/linux/netfilter/x_tables.h: the longest name of a chain. */
const CHAIN_NAME = /^[A-Za-z0-9_.:-]{1,28}$/;

/** What keeps the rules of host ports. */
export type HostPortBackend = "iptables" | "nftables";

function refuse(message: string, details: string, code: number = CNI_CODE.invalidConfig): never {
  throw new CniError(code, message, details);
}

/** The host ports that the runtime asks for (`runtimeConfig.portMappings`); one that stands there twice counts once. Throws code 7. */
export function parsePortMappings({ raw }: NetConf): HostPort[] {
  const ports: HostPort[] = [];
  for (const mapping of raw.runtimeConfig?.portMappings ?? []) {
    const port = parseMapping(mapping);
    const other = ports.find((known) => collides(known, port));
    if (other === undefined) ports.push(port);
    else if (other.containerPort !== port.containerPort || formatHostPort(other) !== formatHostPort(port)) {
      refuse(
        `host port ${formatHostPort(port)} is asked for twice`,
        `to ${other.containerPort} by ${formatHostPort(other)}, to ${port.containerPort} by ${formatHostPort(port)}; wanted: one mapping of each`,
      );
    }
  }
  return ports;
}

function parseMapping(mapping: RawPortMapping): HostPort {
  return {
    protocol: parseProtocol(mapping.protocol),
    hostIp: parseHostIp(mapping.hostIP),
    hostPort: parsePort("host", mapping.hostPort),
    containerPort: parsePort("container", mapping.containerPort),
  };
}

/** portmap's words. */
function parsePort(which: "host" | "container", port: number | null | undefined): number {
  if (port != null && Number.isInteger(port) && port >= 1 && port <= 65535) return port;
  return refuse(
    `Invalid ${which} port number: ${port ?? 0}`,
    `${which}Port=${port ?? 0}; wanted: 1 to 65535`,
  );
}

function parseProtocol(text: string | null | undefined): HostPort["protocol"] {
  // TCP is what Kubernetes means without one; containerd sends lower case, others as the pod has it.
  const protocol = PORT_PROTOCOLS.find((known) => known === (text || "tcp").toLowerCase());
  return (
    protocol ?? refuse(`unknown protocol "${text}" of a host port`, `wanted: ${PORT_PROTOCOLS.join(", ")}`)
  );
}

function parseHostIp(text: string | null | undefined): HostPort["hostIp"] {
  if (!text) return null;
  return (
    parseAddress(text) ?? refuse(`invalid hostIP "${text}"`, "wanted: an IP address of the node, or none")
  );
}

/** How host ports are to be made. Throws code 7 or, for what nobody knows, 2. */
export function parseHostPortOptions({ raw }: NetConf): HostPortOptions {
  const { markMasqBit, externalSetMarkChain } = raw;
  if (markMasqBit != null && externalSetMarkChain) {
    const details = `markMasqBit=${markMasqBit}, externalSetMarkChain=${externalSetMarkChain}`;
    refuse("Cannot specify externalSetMarkChain and markMasqBit", details);
  }
  const bit = markMasqBit ?? MARK_BIT;
  if (!Number.isInteger(bit) || bit < 0 || bit > 31) {
    refuse("MasqMarkBit must be between 0 and 31", `markMasqBit=${bit}`);
  }
  if (externalSetMarkChain && !CHAIN_NAME.test(externalSetMarkChain)) {
    refuse("externalSetMarkChain is no chain's name", `externalSetMarkChain=${externalSetMarkChain}`);
  }
  if (externalSetMarkChain && raw.backend === "nftables") {
    const message =
      "unsupported field: externalSetMarkChain: a table of nftables can't jump into a chain of iptables";
    refuse(message, `externalSetMarkChain=${externalSetMarkChain}`, CNI_CODE.unsupportedField);
  }
  return {
    snat: raw.snat ?? true,
    masqAll: raw.masqAll ?? false,
    markBit: bit,
    externalSetMarkChain: externalSetMarkChain || null,
    conditions: { 4: checkConditions(raw.conditionsV4, 4), 6: checkConditions(raw.conditionsV6, 6) },
    localhost: raw.hostPortLocalhost ?? false,
  };
}

/** What stands in a line of rules must not end it, or begin another one. */
function checkConditions(words: readonly string[] | null | undefined, family: Family): readonly string[] {
  const bad = (words ?? []).find((word) => word === "" || /[\p{Cc};"\\]/u.test(word));
  if (bad === undefined) return words ?? [];
  return refuse(
    `conditionsV${family} has a word that can't stand in a rule`,
    `${JSON.stringify(bad)}; wanted: one word of a rule each, without quotes, semicolons and control characters`,
  );
}

/** The configured backend of host ports; null: none is. Throws code 2. */
export function parseHostPortBackend({ raw: { backend } }: NetConf): HostPortBackend | null {
  if (!backend) return null;
  if (backend === "iptables" || backend === "nftables") return backend;
  return refuse(
    `unsupported field: backend=${JSON.stringify(backend)}`,
    "wanted: iptables or nftables",
    CNI_CODE.unsupportedField,
  );
}
