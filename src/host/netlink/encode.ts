import type { Address } from "../../net/address.ts";
import type { Operation, PortVlan } from "../../plan/step.ts";
import type { WordOperation } from "../../plan/words.ts";
import { writeNewLink, writeSettings } from "./encode-link.ts";
import { writeRoute } from "./encode-route.ts";
import { writeTraffic } from "./encode-tc.ts";
import { AF, IFLA, macBytes, RTM, writeIfinfo } from "./kernel.ts";
import { type MessageWriter, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "./writer.ts";

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_F_NODAD = 2;
const RT_SCOPE_HOST = 254;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;
const NUD_NONE = 0;
const NTF_SELF = 2;
/** include/uapi/linux/if_bridge.h. */
const IFLA_BRIDGE_FLAGS = 0;
const IFLA_BRIDGE_VLAN_INFO = 2;
const BRIDGE_FLAGS_SELF = 2;
const BRIDGE_VLAN_INFO_PVID = 2;
const BRIDGE_VLAN_INFO_UNTAGGED = 4;

/** What an encoder asks of the namespace that the message is for. */
export interface Names {
  /** Index of a link. Throws NoSuchLink. */
  index(name: string): number;
  /** An open descriptor of the network namespace at a path. Throws HostError. */
  netns(path: string): number;
}

/** Operations that are rtnetlink messages; named namespaces are files, which `ip netns` makes. */
export type MessageOperation = Exclude<WordOperation, { op: "netns.add" | "netns.del" }>;

/** Whether rtnetlink can do it. */
export function isMessageOperation(operation: Operation): operation is MessageOperation {
  return (
    /^(link\.(add|set|del)|addr|route|neigh|fdb|vlan|qdisc|filter)\b/.test(operation.op) &&
    operation.op !== "link.offload"
  );
}

/**
 * Writes the one message that does an operation, with what iproute2 6.1 would put into it. `flags` beside those of the
 * operation (NLM_F_ACK, or 0). Throws what `names` throws; then nothing whole was written.
 */
export function writeOperation(
  writer: MessageWriter,
  operation: MessageOperation,
  names: Names,
  sequence: number,
  flags = NLM_F_ACK,
): void {
  const begin = (type: number, more = 0) => writer.begin(type, flags | more, sequence);
  switch (operation.op) {
    case "link.add":
      begin(RTM.newLink, NLM_F_CREATE | NLM_F_EXCL);
      writeNewLink(writer, operation.link, names);
      break;
    case "link.set":
      begin(RTM.newLink);
      writeSettings(writer, operation.name, operation.set, names);
      break;
    case "link.del":
      begin(RTM.delLink);
      // Not by name: that it is not there has to be said in the words that iproute2 has for it.
      writeIfinfo(writer, names.index(operation.name));
      break;
    case "addr.replace":
    case "addr.del": {
      const isNew = operation.op === "addr.replace";
      const index = names.index(operation.dev);
      begin(isNew ? RTM.newAddr : RTM.delAddr, isNew ? NLM_F_CREATE | NLM_F_REPLACE : 0);
      writeAddress(
        writer,
        operation.prefix.address,
        operation.prefix.length,
        index,
        isNew,
        isNew && operation.nodad,
      );
      break;
    }
    case "route.append":
    case "route.replace":
    case "route.del":
      writeRoute(writer, operation, names, sequence, flags);
      break;
    case "neigh.forget":
    case "neigh.replace":
    case "neigh.del":
      writeNeighbour(writer, operation, names, begin);
      break;
    case "fdb.replace":
    case "fdb.del": {
      const index = names.index(operation.dev);
      const isNew = operation.op === "fdb.replace";
      begin(isNew ? RTM.newNeigh : RTM.delNeigh, isNew ? NLM_F_CREATE | NLM_F_REPLACE : 0);
      writeNdmsg(writer, AF.bridge, index, NUD_PERMANENT, NTF_SELF);
      writer.attributeBytes(NDA_LLADDR, macBytes(operation.mac));
      writer.attributeAddress(NDA_DST, operation.dst);
      break;
    }
    case "vlan.add":
    case "vlan.del": {
      const index = names.index(operation.dev);
      begin(operation.op === "vlan.add" ? RTM.setLink : RTM.delLink);
      writeVlan(writer, operation, index);
      break;
    }
    case "qdisc.tbf":
    case "qdisc.ingress":
    case "filter.redirect":
      writeTraffic(writer, operation, names, begin);
  }
  writer.end();
}

/** struct ifaddrmsg: family, prefix length, flags, scope, index. */
function writeAddress(
  writer: MessageWriter,
  address: Address,
  length: number,
  index: number,
  isNew: boolean,
  nodad: boolean,
): void {
  const isLoopback = address.family === 4 && address.value >> 24n === 127n;
  writer.u8(AF[address.family]);
  writer.u8(length);
  writer.u8(nodad ? IFA_F_NODAD : 0);
  // As iproute2's default_scope().
  writer.u8(isNew && isLoopback ? RT_SCOPE_HOST : 0);
  writer.u32(index);
  writer.attributeAddress(IFA_LOCAL, address);
  writer.attributeAddress(IFA_ADDRESS, address);
}

type NeighbourOperation = Extract<MessageOperation, { op: `neigh.${string}` }>;

function writeNeighbour(
  writer: MessageWriter,
  operation: NeighbourOperation,
  names: Names,
  begin: (type: number, more?: number) => void,
): void {
  const index = names.index(operation.dev);
  const isDelete = operation.op === "neigh.del";
  begin(isDelete ? RTM.delNeigh : RTM.newNeigh, isDelete ? 0 : NLM_F_CREATE | NLM_F_REPLACE);
  const state = operation.op === "neigh.replace" ? NUD_PERMANENT : NUD_NONE;
  writeNdmsg(writer, AF[operation.address.family], index, state, 0);
  writer.attributeAddress(NDA_DST, operation.address);
  if (operation.op === "neigh.replace") writer.attributeBytes(NDA_LLADDR, macBytes(operation.mac));
}

/** struct ndmsg: family, padding (three bytes), index, state, flags, type. */
function writeNdmsg(
  writer: MessageWriter,
  family: number,
  index: number,
  state: number,
  flags: number,
): void {
  writer.u32(family);
  writer.u32(index);
  writer.u16(state);
  writer.u8(flags);
  writer.u8(0);
}

function writeVlan(writer: MessageWriter, vlan: PortVlan, index: number): void {
  writeIfinfo(writer, index, AF.bridge);
  writer.nested(IFLA.afSpec, () => {
    if (vlan.self === true) {
      writer.attribute(IFLA_BRIDGE_FLAGS, () => writer.u16(BRIDGE_FLAGS_SELF));
    }
    // struct bridge_vlan_info: flags, VLAN.
    writer.attribute(IFLA_BRIDGE_VLAN_INFO, () => {
      writer.u16(
        (vlan.pvid === true ? BRIDGE_VLAN_INFO_PVID : 0) |
          (vlan.untagged === true ? BRIDGE_VLAN_INFO_UNTAGGED : 0),
      );
      writer.u16(vlan.vid);
    });
  });
}
