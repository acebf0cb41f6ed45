import * as v from "valibot";
import { HostError } from "../../host/errors.ts";
import type { Host } from "../../host/machine.ts";
import { formatNodeList } from "../../kube/nodelist.ts";
import type { ClusterNode } from "../../net/node.ts";
import { NODE_LIST } from "./state.ts";

const ListSchema = v.looseObject({
  items: v.array(v.looseObject({ metadata: v.looseObject({ name: v.string() }) })),
});

/**
 * Puts a node into the NodeList, in place of one by its name; null takes it out. What else the list holds stays as it
 * is. Throws HostError when it is no NodeList any more.
 */
export function editList(host: Host, name: string, node: ClusterNode | null): void {
  const list = parseList(host.readFile(NODE_LIST) ?? "");
  const fresh = node === null ? [] : parseList(formatNodeList([node])).items;
  const at = list.items.findIndex(({ metadata }) => metadata.name === name);
  const others = list.items.filter(({ metadata }) => metadata.name !== name);
  // In its old place, or at the end: of two nodes that claim one CIDR the earlier one keeps it.
  const items = others.toSpliced(at < 0 ? others.length : at, 0, ...fresh);
  host.writeFile(NODE_LIST, `${JSON.stringify({ ...list, items }, null, 2)}\n`);
}

function parseList(text: string): v.InferOutput<typeof ListSchema> {
  try {
    return v.parse(ListSchema, JSON.parse(text));
  } catch {
    throw new HostError(`${NODE_LIST} is no NodeList`, "mend it, or make the lab again");
  }
}
