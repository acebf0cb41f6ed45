import { mkdirSync } from "node:fs";
import * as v from "valibot";
import type { Family } from "../../../net/address.ts";
import type { Operation } from "../../../plan/step.ts";
import { addPod, deletePod } from "../cni/call.ts";
import { describeChain, type Json, type LimitKeys, NO_EXTRAS, type PluginSet } from "../cni/plugins.ts";
import type { Context } from "../context.ts";
import type { Scratch } from "../scratch.ts";
import type { NetworkPath } from "./turn.ts";

/** A node whose pods come with limits, or without. */
export interface LimitedNode {
  /** Attaches pod `index`; null: without limits. */
  add(index: number, limits: LimitKeys | null): Promise<void>;
  del(index: number): Promise<void>;
  /** From one pod that is attached to another one. */
  path(from: number, to: number): NetworkPath;
}

const ResultSchema = v.object({ ips: v.pipe(v.array(v.object({ address: v.string() })), v.minLength(1)) });

/** A node in a namespace of its own, with so many namespaces for pods. All of it goes with the scratch. */
export async function createLimitedNode(
  context: Context,
  scratch: Scratch,
  plugins: PluginSet,
  { name, family, pods }: { readonly name: string; readonly family: Family; readonly pods: number },
): Promise<LimitedNode> {
  const names = Array.from({ length: pods }, (_, index) => `${name}-pod${index}`);
  const [node = "", ...namespaces] = await scratch.addNamespaces([name, ...names]);
  const folders = { dataDir: `${scratch.disk}/${name}`, stateDir: `${scratch.memory}/${name}` };
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  // Else a plugin waits seconds until the kernel knows that no other pod has the address.
  const key = "net/ipv6/conf/default/accept_dad";
  const noDad: Operation = { op: "sysctl.set", key, value: "0", optional: true };
  const why = "new addresses are used at once";
  await context.host.execute([node, ...namespaces].map((netns) => ({ ...noDad, netns, why })));
  const place = { netns: node, folder: plugins.folder, meter: null };
  const attached = new Map<number, { limits: LimitKeys | null; result: Json }>();
  const netnsOf = (index: number) => namespaces[index] ?? "";
  const podOf = (index: number) => ({ containerId: names[index] ?? "", netns: netnsOf(index) });
  const chainOf = (index: number, limits: LimitKeys | null) =>
    describeChain(plugins, folders, { ...NO_EXTRAS, family, limits }, index);
  return {
    add: async (index, limits) => {
      const { result } = await addPod(context, chainOf(index, limits), podOf(index), place);
      attached.set(index, { limits, result });
    },
    del: async (index) => {
      const found = attached.get(index);
      if (found === undefined) return;
      await deletePod(context, chainOf(index, found.limits), podOf(index), found.result, place);
      attached.delete(index);
    },
    path: (from, to) => {
      const { ips } = v.parse(ResultSchema, attached.get(to)?.result);
      const [address = ""] = (ips[0]?.address ?? "").split("/");
      return { from: netnsOf(from), to: netnsOf(to), address, family };
    },
  };
}
