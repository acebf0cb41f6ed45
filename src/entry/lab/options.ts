import { type Command, InvalidArgumentError, Option } from "commander";
import { FAMILIES, type Family } from "../../net/address.ts";
import { BACKENDS, type Backend } from "../../topology/path.ts";
import type { LabWish } from "./up.ts";

/** The options as they are read. */
export interface WishOptions {
  readonly nodes: number;
  readonly pods: number;
  readonly subnets: number;
  readonly backend: Backend;
  readonly mtu?: number;
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
}

/** The options by which a lab's size and kind are chosen; see {@link toWish}. */
export function addWishOptions(command: Command): Command {
  return command
    .option("--nodes <number>", "virtual nodes", parseNumber, 3)
    .option("--pods <number>", "pods on each node", parseNumber, 3)
    .addOption(
      new Option("--backend <name>", "how nodes reach the pods of others").choices(BACKENDS).default("auto"),
    )
    .option("--subnets <number>", "underlay subnets, with a router between them", parseNumber, 1)
    .option("--mtu <bytes>", "of the underlay's links (default: 1500)", parseNumber)
    .addOption(new Option("--ipv4", "IPv4 alone").conflicts(["ipv6", "dualStack"]))
    .addOption(new Option("--ipv6", "IPv6 alone").conflicts(["ipv4", "dualStack"]))
    .addOption(new Option("--dual-stack", "both (the default)"));
}

/** What the options ask for. */
export function toWish({ nodes, pods, subnets, backend, mtu, ipv4, ipv6 }: WishOptions): LabWish {
  const families: readonly Family[] = ipv4 ? [4] : ipv6 ? [6] : FAMILIES;
  return { nodes, pods, subnets, backend, families, mtu: mtu ?? null };
}

function parseNumber(text: string): number {
  if (/^[0-9]+$/.test(text)) return Number(text);
  throw new InvalidArgumentError("wanted a whole number.");
}
