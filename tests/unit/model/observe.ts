import { addressOfFile, parseReservation } from "../../../src/ipam/reservation.ts";
import { isHostVethName, isIfbName } from "../../../src/net/ifname.ts";
import { masqueradeChain } from "../../../src/topology/masquerade.ts";
import { masqueradeTable } from "../../../src/topology/masquerade-nft.ts";
import { spoofTable } from "../../../src/topology/spoofcheck.ts";
import type { FakeNode } from "../../twin/node.ts";
import type { Key, Observed, Shape } from "./facts.ts";

const RECORD = /^\/run\/minicni\/attachments\/([^/]+)\/([^:]+):([^:]+)\.json(\.tmp)?$/;

/** What is on a fake node, for the model to look at; `keys` and `ifbKeys`: whose a host-side veth or an ifb is, by its name. */
export function observe(
  node: FakeNode,
  networks: readonly Shape[],
  root: string,
  keys: ReadonlyMap<string, Key>,
  ifbKeys: ReadonlyMap<string, Key>,
): Observed {
  const host = node.host();
  const reservations = networks.flatMap(({ name: network }) => {
    const folder = `${root}/networks/${network}`;
    return host.listFolder(folder).flatMap((address) => {
      if (addressOfFile(address) === null) return [];
      const owner = parseReservation(host.readFile(`${folder}/${address}`) ?? "");
      if (owner === null) throw new Error(`${folder}/${address} names no owner`);
      return [{ address, owner: { network, ...owner } }];
    });
  });
  const files = [...node.files].flatMap(([path, text]) => {
    const [, network, containerId, ifname, tmp] = RECORD.exec(path) ?? [];
    if (network === undefined || containerId === undefined || ifname === undefined) return [];
    return [{ key: { network, containerId, ifname }, text, isHalf: tmp !== undefined }];
  });
  const names = [...node.kernel.links.keys()];
  const owner = (known: ReadonlyMap<string, Key>) => (name: string) => {
    const key = known.get(name);
    if (key === undefined) throw new Error(`a link ${name} that nobody asked for`);
    return key;
  };
  const rules = node.kernel.rules.all().join("\n");
  const hasRules = ({ name }: Shape) =>
    [masqueradeChain(name), masqueradeTable(name), spoofTable(name)].some((mark) => rules.includes(mark));
  return {
    reservations,
    links: names.filter(isHostVethName).map(owner(keys)),
    ifbs: names.filter(isIfbName).map(owner(ifbKeys)),
    records: files.flatMap(({ key, text, isHalf }) =>
      isHalf ? [] : [{ key, isComplete: JSON.parse(text).phase === "complete" }],
    ),
    halfRecords: files.flatMap(({ key, isHalf }) => (isHalf ? [key] : [])),
    rules: networks.filter(hasRules).map(({ name }) => name),
  };
}
