import { HOST, type LinkSettings, type NewLink } from "../../plan/step.ts";
import type { Names } from "./encode.ts";
import { AF, IFLA, macBytes, writeIfinfo } from "./kernel.ts";
import type { MessageWriter } from "./writer.ts";

/** include/uapi/linux/if_link.h. */
const INFO = { kind: 1, data: 2, slaveKind: 4, slaveData: 5 } as const;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const VETH_INFO_PEER = 1;
const IFLA_BR_VLAN_FILTERING = 7;
const IFLA_BRPORT = { mode: 4, isolated: 33 } as const;
const VXLAN = { id: 1, local: 4, learning: 7, port: 15, local6: 17 } as const;
/** include/uapi/linux/if.h. */
const IFF_UP = 1;
const IFF_PROMISC = 0x100;
const IFF_ALLMULTI = 0x200;

interface Born {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
}

/** The body of RTM_NEWLINK that makes a link. */
export function writeNewLink(writer: MessageWriter, link: NewLink, names: Names): void {
  writeIfinfo(writer, 0);
  writeBorn(writer, link);
  writer.nested(IFLA.linkinfo, () => {
    writer.attributeText(INFO.kind, link.kind);
    writeKind(writer, link, names);
  });
}

function writeBorn(writer: MessageWriter, { name, mac, mtu }: Born): void {
  writer.attributeText(IFLA.ifname, name);
  if (mtu !== undefined) writer.attributeU32(IFLA.mtu, mtu);
  if (mac !== undefined) writer.attributeBytes(IFLA.address, macBytes(mac));
}

function writeKind(writer: MessageWriter, link: NewLink, names: Names): void {
  switch (link.kind) {
    case "ifb":
      break;
    case "bridge":
      if (link.vlanFiltering === true) {
        writer.nested(INFO.data, () => writer.attributeU8(IFLA_BR_VLAN_FILTERING, 1));
      }
      break;
    case "vxlan":
      writer.nested(INFO.data, () => {
        writer.attributeU32(VXLAN.id, link.vni);
        writer.attributeAddress(link.local.family === 4 ? VXLAN.local : VXLAN.local6, link.local);
        writer.attributeU8(VXLAN.learning, 0);
        // __be16, unlike everything around it.
        writer.attribute(VXLAN.port, () => {
          writer.u8(link.port >> 8);
          writer.u8(link.port & 255);
        });
      });
      break;
    case "veth": {
      const { peer } = link;
      writer.nested(INFO.data, () => {
        // Neither flagged nor parsed as nested: a struct ifinfomsg comes first (rtnl_nla_parse_ifinfomsg).
        writer.attribute(VETH_INFO_PEER, () => {
          writeIfinfo(writer, 0);
          writeBorn(writer, peer);
          if (peer.netns !== HOST) writer.attributeU32(IFLA.netNsFd, names.netns(peer.netns));
        });
      });
    }
  }
}

/** The body of RTM_NEWLINK that changes a link; port flags are set before the link goes up (rtnl_newlink). */
export function writeSettings(writer: MessageWriter, name: string, set: LinkSettings, names: Names): void {
  const bits = [
    [IFF_UP, set.up],
    [IFF_PROMISC, set.promisc],
    [IFF_ALLMULTI, set.allmulti],
  ] as const;
  const known = bits.filter(([, value]) => value !== undefined);
  const flags = known.reduce((sum, [bit, value]) => sum | (value === true ? bit : 0), 0);
  const mask = known.reduce((sum, [bit]) => sum | bit, 0);
  writeIfinfo(writer, names.index(name), 0, { flags, mask });
  if (set.mtu !== undefined) writer.attributeU32(IFLA.mtu, set.mtu);
  if (set.txQueueLength !== undefined) writer.attributeU32(IFLA.txqlen, set.txQueueLength);
  if (set.mac !== undefined) writer.attributeBytes(IFLA.address, macBytes(set.mac));
  if (set.master !== undefined) writer.attributeU32(IFLA.master, names.index(set.master));
  if (set.alias !== undefined) writer.attributeBytes(IFLA.ifalias, new TextEncoder().encode(set.alias));
  if (set.addrgenmode !== undefined) {
    writer.nested(IFLA.afSpec, () => {
      writer.nested(AF[6], () => writer.attributeU8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE));
    });
  }
  if (set.port !== undefined) writePort(writer, set.port);
  if (set.vlanFiltering !== undefined) {
    const filtering = set.vlanFiltering ? 1 : 0;
    writer.nested(IFLA.linkinfo, () => {
      writer.attributeText(INFO.kind, "bridge");
      writer.nested(INFO.data, () => writer.attributeU8(IFLA_BR_VLAN_FILTERING, filtering));
    });
  }
}

function writePort(writer: MessageWriter, { hairpin, isolated }: NonNullable<LinkSettings["port"]>): void {
  writer.nested(IFLA.linkinfo, () => {
    writer.attributeText(INFO.slaveKind, "bridge");
    writer.nested(INFO.slaveData, () => {
      if (hairpin !== undefined) writer.attributeU8(IFLA_BRPORT.mode, hairpin ? 1 : 0);
      if (isolated !== undefined) writer.attributeU8(IFLA_BRPORT.isolated, isolated ? 1 : 0);
    });
  });
}
