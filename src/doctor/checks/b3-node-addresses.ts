import { formatAddress, parseAddress } from "../../net/address.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { Cidrs } from "../sections/cidrs.ts";
import type { NodeAddresses } from "../sections/node-addresses.ts";
import { countOf, someOf } from "../some.ts";
import { isCidrFault } from "./a11-nodes.ts";

const TITLE = "addresses of Nodes";
type Fault = Cidrs["faults"][number];

/** B3: with VMs that all have one NAT address, as Vagrant's, every Node announces the same (flannel#98, flannel#1192). */
export const nodeAddressesCheck = check("B3", TITLE, ["cidrs", "nodeAddresses"], (sections) => {
  const { cidrs, nodeAddresses } = sections;
  if (cidrs.noNodes !== null) return [skip(`${TITLE}: not looked at: no list of Nodes: ${cidrs.noNodes}`)];
  const found = [...judgeFaults(cidrs, nodeAddresses), ...judgeLocal(cidrs, nodeAddresses)];
  if (found.length > 0) return found;
  const all = cidrs.nodes.reduce((sum, { addresses }) => sum + addresses.length, 0);
  const of = countOf(cidrs.nodes.length, "Node");
  return [pass(`${countOf(all, "InternalIP")} of ${of}, no two alike and no peer's on this machine`)];
});

/** Nodes that are left out for their addresses: our own alone, the others by what is wrong with them. */
function judgeFaults({ self, faults }: Cidrs, addresses: NodeAddresses): Verdict[] {
  const rest = faults.filter((fault) => !isCidrFault(fault));
  const doubled = rest.filter(({ message }) => message.startsWith("has an InternalIP of node"));
  const unusable = rest.filter((fault) => !doubled.includes(fault));
  const own = unusable.filter(({ node }) => node === self);
  const others = unusable.filter(({ node }) => node !== self);
  return [
    ...judgeDoubled(doubled, self, addresses),
    ...(own.length === 0 ? [] : [judgeUnusable(own, true)]),
    ...(others.length === 0 ? [] : [judgeUnusable(others, false)]),
  ];
}

function judgeDoubled(doubled: readonly Fault[], self: string | null, own: NodeAddresses): Verdict[] {
  const [first] = doubled;
  if (first === undefined) return [];
  const isOurs = ({ node, message }: Fault) =>
    node === self || (self !== null && message.startsWith(`has an InternalIP of node ${self}:`));
  const worst = doubled.find(isOurs) ?? first;
  const [, older = "?", address = "?"] = /of node (\S+): (\S+)/.exec(worst.message) ?? [];
  const judge = worst.node === self ? fail : warn;
  const more = doubled.length === 1 ? "" : `, and ${countOf(doubled.length - 1, "more Node")} like it`;
  return [
    judge({
      message: `Nodes ${older} and ${worst.node} have one InternalIP, ${address}${more}`,
      evidence: doubled.map(({ node, message }) => `${node} ${message}`),
      cause: `the kubelet announces the address of the default route's link, which is the same on every VM behind a NAT; ${worst.node} is the younger Node, so that every agent leaves it out: its pods are reached by nobody`,
      fix: fixNodeIp(worst.node, address, worst.node === self || older === self ? own : null),
    }),
  ];
}

/** On this machine we know which other addresses there are. */
function fixNodeIp(node: string, address: string, own: NodeAddresses | null): string[] {
  const family = address.includes(":") ? 6 : 4;
  const other = own?.links
    .filter(({ isOurs, name }) => !isOurs && name !== "lo")
    .flatMap(({ addresses }) => addresses.flatMap((it) => parsePrefix(it) ?? []))
    .map((prefix) => prefix.address)
    .find((it) => it.family === family && formatAddress(it) !== address);
  const chosen = other === undefined ? "ADDRESS" : formatAddress(other);
  return [
    ...(other === undefined ? [`# on ${node}, with the ADDRESS by which other nodes reach it:`] : []),
    `echo 'KUBELET_EXTRA_ARGS=--node-ip=${chosen}' > /etc/default/kubelet && systemctl restart kubelet`,
  ];
}

function judgeUnusable(faults: readonly Fault[], isOwn: boolean): Verdict {
  const [first = { node: "?", message: "?" }] = faults;
  const names = faults.map(({ node }) => node);
  const message =
    faults.length === 1
      ? `${isOwn ? "this Node" : "Node"} ${first.node} ${first.message}`
      : `${countOf(faults.length, "Node")} can't be used: ${someOf(names)}`;
  return (isOwn ? fail : warn)({
    message,
    evidence: faults.map(({ node, message: why }) => `${node} ${why}`),
    cause: isOwn
      ? "every agent leaves this Node out: its pods get no addresses, and no other node reaches them"
      : `every agent leaves ${faults.length === 1 ? "it" : "them"} out: pods there are reached by nobody`,
    fix: [
      `kubectl get node ${first.node} -o jsonpath='{.status.addresses}'`,
      `# on ${first.node}: journalctl -u kubelet; an InternalIP comes from its --node-ip, or from the cloud provider`,
    ],
  });
}

/** An address of a peer that this machine has as well: what is sent there never leaves. */
function judgeLocal({ self, nodes, faults }: Cidrs, { links }: NodeAddresses): Verdict[] {
  if (self === null) return [];
  // Where both announce it, that has been told.
  const doubled = faults.filter(({ node }) => node === self).map(({ message }) => message);
  const owners = new Map(
    links.flatMap(({ name, addresses }) =>
      addresses.flatMap((text) => {
        const prefix = parsePrefix(text);
        return prefix === null ? [] : [[formatAddress(prefix.address), `${name} ${text}`] as const];
      }),
    ),
  );
  return nodes
    .filter(({ name }) => name !== self)
    .flatMap(({ name, addresses }) =>
      addresses.flatMap((text): Verdict[] => {
        const address = parseAddress(text);
        const owner = address === null ? undefined : owners.get(formatAddress(address));
        if (owner === undefined || doubled.some((message) => message.endsWith(`: ${text}`))) return [];
        const [link = "?", prefix = text] = owner.split(" ");
        return [
          fail({
            message: `${text}, an InternalIP of ${name}, is an address of this node's ${link}`,
            evidence: [owner, `Node ${name}: InternalIP ${text}`],
            cause: `what is sent to ${name} never leaves this machine: pods there can't be reached. A virtual address that moves between nodes (kube-vip, keepalived) must not be a Node's InternalIP; one that was copied with a VM's disk belongs to one of both`,
            fix: [
              `# if ${text} belongs to ${name} alone:`,
              `ip addr del ${prefix} dev ${link}`,
              `# if it moves between nodes, on ${name}: --node-ip of the kubelet with the address that stays`,
            ],
          }),
        ];
      }),
    );
}
