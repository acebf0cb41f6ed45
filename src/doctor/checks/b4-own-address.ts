import { formatAddress, isSameAddress, parseAddress } from "../../net/address.ts";
import { contains, parsePrefix } from "../../net/prefix.ts";
import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { NodeAddresses } from "../sections/node-addresses.ts";
import { countOf } from "../some.ts";

const TITLE = "this node's own address";
type Link = NodeAddresses["links"][number];

/** B4: a node address that is not this machine's any more leaves its pods unreachable, for ever (calico#8700). */
export const ownAddressCheck = check("B4", TITLE, ["nodeAddresses"], ({ nodeAddresses }) => {
  const { internalIps, unknown, self } = nodeAddresses;
  if (internalIps === null) return [skip(`${TITLE}: not looked at: ${unknown ?? "it is not known"}`)];
  const first = ([4, 6] as const).flatMap((family) => {
    const text = internalIps.find((it) => it.includes(":") === (family === 6));
    return text === undefined ? [] : [{ family, text }];
  });
  if (first.length === 0) return [skip(`${TITLE}: Node ${self} has no InternalIP`)];
  return first.flatMap(({ family, text }) => judgeAddress(family, text, nodeAddresses));
});

function judgeAddress(family: 4 | 6, text: string, seen: NodeAddresses): Verdict[] {
  const link = seen.links.find(({ addresses }) => addresses.some((it) => isOf(it, text)));
  if (link === undefined) return [judgeMissing(text, seen)];
  const evidence = [
    `Node ${seen.self}: InternalIP ${text}`,
    ...seen.links
      .filter(({ isOurs }) => !isOurs)
      .map(({ name, addresses }) => `${name} ${addresses.join(" ")}`),
    ...defaultsOf(family, seen).map(({ dev, via }) => `default via ${via ?? "?"} dev ${dev}`),
  ];
  if (!link.isUp) {
    return [
      fail({
        message: `${link.name}, which has this Node's InternalIP ${text}, is down`,
        evidence,
        cause: "no other node reaches this one, nor its pods",
        fix: [`ip link set ${link.name} up`],
      }),
    ];
  }
  const elsewhere = judgeElsewhere(family, text, link, evidence, seen);
  const stale = judgeTunnels(family, text, evidence, seen);
  if (elsewhere.length + stale.length > 0) return [...elsewhere, ...stale];
  const others = seen.links.filter(({ name, isOurs }) => !isOurs && name !== link.name && name !== "lo");
  const among = others.length === 0 ? "" : ` (of ${countOf(others.length + 1, "link")} with addresses)`;
  return [
    pass(`InternalIP ${text} is on ${link.name}${among}: ${whyOf(family, text, link, seen)}`, evidence),
  ];
}

function isOf(prefix: string, text: string): boolean {
  const [parsed, address] = [parsePrefix(prefix), parseAddress(text)];
  return parsed !== null && address !== null && isSameAddress(parsed.address, address);
}

const defaultsOf = (family: 4 | 6, { defaults }: NodeAddresses) =>
  defaults.filter((it) => it.family === family).toSorted((a, b) => (a.metric ?? 0) - (b.metric ?? 0));

/** As the kubelet chooses: what it was told, else the address of the link that the default route leaves by. */
function whyOf(family: 4 | 6, text: string, { name }: Link, seen: NodeAddresses): string {
  if (seen.nodeIp?.text.split(",").includes(text) === true)
    return `--node-ip of the kubelet in ${seen.nodeIp.path}`;
  const [first] = defaultsOf(family, seen);
  if (first?.dev === name) return "the default route leaves by it";
  return first === undefined
    ? "there is no default route"
    : `the default route leaves by ${first.dev}, so that somebody chose it`;
}

/** No link has it: either it was another one before, or a cloud translates it. */
function judgeMissing(text: string, seen: NodeAddresses): Verdict {
  const address = parseAddress(text);
  const near = seen.links
    .filter(({ isOurs }) => !isOurs)
    .flatMap(({ name, addresses }) =>
      addresses.map((prefix) => ({ name, prefix, parsed: parsePrefix(prefix) })),
    )
    .find(({ parsed }) => parsed !== null && address !== null && contains(parsed, address));
  const evidence = [
    `Node ${seen.self}: InternalIP ${text} (${seen.source ?? "?"}${seen.isLive ? "" : ", not a list of now"})`,
    ...seen.links
      .filter(({ isOurs }) => !isOurs)
      .map(({ name, addresses }) => `${name} ${addresses.join(" ")}`),
    ...(seen.nodeIp === null ? [] : [`${seen.nodeIp.path}: --node-ip=${seen.nodeIp.text}`]),
  ];
  if (near?.parsed != null) {
    const own = formatAddress(near.parsed.address);
    return fail({
      message: `this Node's InternalIP ${text} is on no link; ${near.name} has ${near.prefix} of the same network`,
      evidence,
      cause:
        "the machine's address has changed and the Node still has the old one: other nodes send packets for pods here to nobody",
      fix:
        seen.nodeIp?.text.split(",").includes(text) === true
          ? [`sed -i 's/${text}/${own}/' ${seen.nodeIp.path} && systemctl restart kubelet`]
          : ["systemctl restart kubelet", `# it announces ${own} then; if not, give it --node-ip=${own}`],
    });
  }
  return warn({
    message: `this Node's InternalIP ${text} is on no link of this machine`,
    evidence,
    cause:
      "either the address has changed since, or the cloud translates it: then packets of the tunnel can't have it as their source, and the MTU has to be guessed",
    fix: [
      "# give the kubelet the address that other nodes reach this one by, as its links have it:",
      "echo 'KUBELET_EXTRA_ARGS=--node-ip=ADDRESS' > /etc/default/kubelet && systemctl restart kubelet",
    ],
  });
}

/** Every peer that is on a link itself is on another one than the address we announce (Vagrant's NAT link, k3s#72). */
function judgeElsewhere(
  family: 4 | 6,
  text: string,
  link: Link,
  evidence: readonly string[],
  { peersOn, links, defaults }: NodeAddresses,
): Verdict[] {
  const on = peersOn.filter((it) => it.family === family);
  const [first] = on.toSorted((a, b) => b.count - a.count);
  const isNat = defaults.some((it) => it.family === family && it.dev === link.name);
  // On lo or a dummy a routing protocol announces the address: links are only the way to it.
  if (first === undefined || !isNat || on.some(({ dev }) => dev === link.name)) return [];
  const other = links
    .find(({ name }) => name === first.dev)
    ?.addresses.flatMap((it) => parsePrefix(it) ?? [])
    .find(({ address }) => address.family === family);
  if (other === undefined) return [];
  const own = formatAddress(other.address);
  return [
    warn({
      message: `InternalIP ${text} is on ${link.name}, but ${countOf(first.count, "peer")} (${first.example}) ${first.count === 1 ? "is" : "are"} on the network of ${first.dev}`,
      evidence,
      cause: `the kubelet announces the address of the default route's link; other nodes, which are reached by ${first.dev}, may not reach ${text} at all, and answers go another way`,
      fix: [`echo 'KUBELET_EXTRA_ARGS=--node-ip=${own}' > /etc/default/kubelet && systemctl restart kubelet`],
    }),
  ];
}

/** A device that still sends from another address: the agent has not followed. */
function judgeTunnels(
  family: 4 | 6,
  text: string,
  evidence: readonly string[],
  { tunnels, self }: NodeAddresses,
): Verdict[] {
  return tunnels
    .filter(({ local }) => local !== null && local.includes(":") === (family === 6) && local !== text)
    .map(({ name, local }) =>
      fail({
        message: `${name} sends from ${local}, but this Node's InternalIP is ${text}`,
        evidence: [...evidence, `${name} local ${local}`],
        cause:
          "the Node's address has changed since the agent made the device, and the agent has not followed: it does not run, or does not hear of Nodes",
        fix: [
          "minicni status",
          `kubectl -n kube-system delete pod -l app.kubernetes.io/name=minicni --field-selector spec.nodeName=${self}`,
        ],
      }),
    );
}
