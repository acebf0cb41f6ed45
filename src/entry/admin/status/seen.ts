import type { Family } from "../../../net/address.ts";
import type { RangeUse } from "../../addresses.ts";
import type { AgentReport } from "../../agent/report.ts";

/**
 * What became of the agent. `running`: it told of itself lately, and holds its lock where that can be seen; `silent`: it
 * did not for a while, and nobody can say that it ended; `stopped`: it ended as it was told to; `dead`: it ended
 * otherwise; `absent`: none has told anything in this boot; `unknown`: what it told can't be read.
 */
export type AgentLife = "running" | "silent" | "stopped" | "dead" | "absent" | "unknown";

/** What node.json says to the plugin. */
export interface SeenPublication {
  readonly podCidrs: readonly string[];
  /** Bytes of a pod's link; null: not told. */
  readonly mtu: number | null;
  /** Null: pods may come. */
  readonly notReady: string | null;
}

/** A device of ours in the kernel. */
export interface SeenLink {
  readonly name: string;
  readonly isUp: boolean;
  readonly mtu: number;
}

/** One range set of one network. */
export type SeenRange = { readonly network: string } & RangeUse;

/** A route to a peer that should be there, and is not. */
export interface MissingRoute {
  readonly peer: string;
  readonly dst: string;
}

/** What was seen of one node. All of it can be written as JSON; times are RFC 3339. */
export interface SeenNode {
  readonly takenAt: string;
  /** Version of this program. */
  readonly minicni: string;
  /** Null: not known. */
  readonly node: string | null;
  readonly agent: {
    readonly life: AgentLife;
    /** Why there is no report to read; null where there is one. */
    readonly fault: string | null;
    /** Whether a process holds the lock that a running agent holds; null: can't be seen. */
    readonly isLocked: boolean | null;
  };
  /** What the agent last said; null: nothing that can be read. */
  readonly report: AgentReport | null;
  /** Null: nothing is published in this boot. */
  readonly published: SeenPublication | null;
  /** Bridge and tunnels of ours; null: could not be seen. */
  readonly links: readonly SeenLink[] | null;
  /** Routes of ours in the kernel, by family; null: could not be seen. */
  readonly routes: Readonly<Record<Family, number>> | null;
  /** Of the routes that the agent's peers need. */
  readonly missing: readonly MissingRoute[];
  readonly ranges: readonly SeenRange[];
  /** Null: could not be seen. */
  readonly attachments: readonly { readonly network: string; readonly count: number }[] | null;
  /** What could not be looked at, and why. */
  readonly unseen: readonly string[];
}
