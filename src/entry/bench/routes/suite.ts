import type { Family } from "../../../net/address.ts";
import type { Context, Suite } from "../context.ts";
import { measureCold } from "./cold-turns.ts";
import { measureDiff, measureNodeList } from "./diff.ts";
import { measureKernel } from "./kernel.ts";
import { measureProgramming } from "./programming.ts";
import { nodesOf } from "./scenario.ts";

/** What is measured of the routes. */
export interface RoutesOptions {
  /** Cluster sizes, 2 … MAX_NODES each; null: the default ones. */
  readonly nodes: readonly number[] | null;
  readonly families: readonly Family[];
  /** Whole passes and agents as well; they need root. */
  readonly kernel: boolean;
}

/** Sizes of a run: routes for the diff (warm and cold) and for the list of its nodes, nodes for whole passes. */
interface Sizes {
  readonly warm: readonly number[];
  readonly lists: readonly number[];
  readonly cold: readonly number[];
  readonly kernel: readonly number[];
}

/** A list of 50,001 nodes takes two seconds to read: the smaller ones show how it grows. */
const FULL_SIZES: Sizes = {
  warm: [100, 1_000, 10_000, 100_000],
  lists: [100, 1_000, 10_000],
  cold: [1_000, 10_000],
  kernel: [100, 1_000, 5_000, 15_000],
};
const QUICK_SIZES: Sizes = { warm: [100, 10_000], lists: [100], cold: [10_000], kernel: [100] };

/**
 * The route diff in WebAssembly against the same in plain TypeScript and a Map of strings: warm, with and without the
 * parsing of the kernel's dump, and in fresh processes (always dual stack); then whole passes and agents in a namespace.
 * The suite throws HostError when a child or a step fails, and an Error when an engine finds something wrong.
 */
export function createRoutesSuite({ nodes, families, kernel }: RoutesOptions): Suite {
  return async (context) => {
    const sizes = context.effort.isQuick ? QUICK_SIZES : FULL_SIZES;
    const clusters = (routes: readonly number[]) => nodes ?? routes.map((count) => nodesOf(count, families));
    const parts: (() => Promise<void>)[] = [
      ...clusters(sizes.warm).map((count) => () => measureDiff(context, count, families)),
      ...clusters(sizes.lists).map((count) => () => measureNodeList(context, count, families)),
      ...sizes.cold.map((routes) => () => measureCold(context, routes)),
      ...(kernel ? describeKernelParts(context, nodes ?? sizes.kernel, families) : []),
    ];
    for (const part of parts) {
      if (context.isStopped()) return;
      await part();
    }
  };
}

function describeKernelParts(context: Context, nodes: readonly number[], families: readonly Family[]) {
  if (process.getuid?.() === 0) {
    const passes = nodes.map((count) => () => measureKernel(context, count, families));
    return [() => measureProgramming(context), ...passes];
  }
  context.note("Whole passes and agents were left out: they need root.");
  return [];
}
