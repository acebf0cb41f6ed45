import { describe, expect, test } from "bun:test";
import { editList } from "../../../src/entry/lab/list.ts";
import { NODE_LIST } from "../../../src/entry/lab/state.ts";
import { createHost } from "../../../src/host/linux.ts";
import { formatNodeList, parseNodeList } from "../../../src/kube/nodelist.ts";
import { address, prefix, thrown } from "../../twin/words.ts";

const node = (index: number) => ({
  name: `node${index}`,
  podCidrs: [prefix(`10.244.${index}.0/24`)],
  addresses: [address(`172.31.0.${index}`)],
});

/** A machine with the NodeList alone. */
function machineWith(text: string) {
  let list = text;
  const host = {
    ...createHost(),
    readFile: (path: string) => (path === NODE_LIST ? list : null),
    writeFile: (_path: string, written: string) => {
      list = written;
    },
  };
  return { host, names: () => parseNodeList(list).nodes.map(({ name }) => name), list: () => list };
}

describe("editList", () => {
  const three = formatNodeList([node(1), node(2), node(3)]);

  test("takes a node out and leaves the others", () => {
    const { host, names } = machineWith(three);
    editList(host, "node2", null);
    expect(names()).toEqual(["node1", "node3"]);
  });

  test("changes a node in its place, and puts a missing one at the end", () => {
    const { host, names, list } = machineWith(three);
    editList(host, "node1", { ...node(1), podCidrs: [prefix("10.9.0.0/24")] });
    expect(parseNodeList(list()).nodes[0]?.podCidrs).toEqual([prefix("10.9.0.0/24")]);
    editList(host, "node2", null);
    editList(host, "node2", node(2));
    expect(names()).toEqual(["node1", "node3", "node2"]);
  });

  test("keeps what is no proper Node", () => {
    const odd = { metadata: { name: "odd" }, spec: { podCIDRs: "x" }, more: 1 };
    const { host, list } = machineWith(JSON.stringify({ kind: "List", items: [odd] }));
    editList(host, "node1", node(1));
    expect(JSON.parse(list())).toMatchObject({ kind: "List", items: [odd, { metadata: { name: "node1" } }] });
  });

  test("refuses a file that is no list", () => {
    const { host, list } = machineWith("{");
    expect(thrown(() => editList(host, "node1", null))).toMatchObject({ name: "HostError" });
    expect(list()).toBe("{");
  });
});
