import type { RouteSpec, RouteType } from "../../plan/step.ts";
import type { MessageOperation, Names } from "./encode.ts";
import { AF, RTM } from "./kernel.ts";
import { type MessageWriter, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE } from "./writer.ts";

/** include/uapi/linux/rtnetlink.h. */
const RTA = { dst: 1, oif: 4, gateway: 5, priority: 6, metrics: 8, table: 15, via: 18 } as const;
const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;
const RT_TABLE_MAIN = 254;
const RT_TABLE_LOCAL = 255;
const RTPROT_BOOT = 3;
const RTNH_F_ONLINK = 4;
const SCOPE = { global: 0, link: 253, host: 254, nowhere: 255 } as const;
const RTN_UNICAST = 1;
const RTN: Readonly<Record<RouteType, number>> = {
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
};

type RouteOperation = Extract<MessageOperation, { op: `route.${string}` }>;

const FLAGS: Readonly<Record<RouteOperation["op"], number>> = {
  "route.append": NLM_F_CREATE | NLM_F_APPEND,
  "route.replace": NLM_F_CREATE | NLM_F_REPLACE,
  "route.del": 0,
};

/** Writes a route's message up to its end, with the defaults of iproute2 (iproute_modify of ip/iproute.c). */
export function writeRoute(
  writer: MessageWriter,
  { op, route }: RouteOperation,
  names: Names,
  sequence: number,
  flags: number,
): void {
  const isDelete = op === "route.del";
  const index = route.dev === "" ? 0 : names.index(route.dev);
  const { address, length } = route.dst;
  const table = tableOf(route);
  writer.begin(isDelete ? RTM.delRoute : RTM.newRoute, flags | FLAGS[op], sequence);
  // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type (one byte each), flags (four).
  writer.u8(AF[address.family]);
  writer.u8(length);
  writer.u16(0);
  writer.u8(table < 256 ? table : 0);
  writer.u8(route.protocol ?? (isDelete ? 0 : RTPROT_BOOT));
  writer.u8(scopeOf(route, isDelete));
  writer.u8(route.type === undefined ? (isDelete ? 0 : RTN_UNICAST) : RTN[route.type]);
  writer.u32(route.onlink === true ? RTNH_F_ONLINK : 0);
  if (length > 0) writer.attributeAddress(RTA.dst, address);
  if (route.via !== undefined) writeGateway(writer, route.via, address.family);
  if (index !== 0) writer.attributeU32(RTA.oif, index);
  if (route.metric !== undefined) writer.attributeU32(RTA.priority, route.metric);
  if (table >= 256) writer.attributeU32(RTA.table, table);
  writeMetrics(writer, route);
}

function tableOf({ table, type }: RouteSpec): number {
  if (table !== undefined) return table;
  return type === "local" || type === "broadcast" || type === "anycast" ? RT_TABLE_LOCAL : RT_TABLE_MAIN;
}

function scopeOf({ scope, type, via, dst }: RouteSpec, isDelete: boolean): number {
  if (scope !== undefined) return SCOPE[scope];
  if (dst.address.family === 6) return SCOPE.global;
  if (type === "local") return SCOPE.host;
  if (type === "broadcast" || type === "multicast" || type === "anycast") return SCOPE.link;
  if (type !== undefined) return isDelete ? SCOPE.nowhere : SCOPE.global;
  if (isDelete) return SCOPE.nowhere;
  return via === undefined ? SCOPE.link : SCOPE.global;
}

function writeGateway(writer: MessageWriter, via: NonNullable<RouteSpec["via"]>, family: 4 | 6): void {
  if (via.family === family) {
    writer.attributeAddress(RTA.gateway, via);
    return;
  }
  // struct rtvia: a gateway of another family (RFC 5549).
  writer.attribute(RTA.via, () => {
    writer.u16(AF[via.family]);
    writer.address(via);
  });
}

function writeMetrics(writer: MessageWriter, { mtu, advmss }: RouteSpec): void {
  if (mtu === undefined && advmss === undefined) return;
  writer.nested(RTA.metrics, () => {
    if (mtu !== undefined) writer.attributeU32(RTAX_MTU, mtu);
    if (advmss !== undefined) writer.attributeU32(RTAX_ADVMSS, advmss);
  });
}
