import { asksForBandwidth, parseBandwidth } from "../cni/bandwidth.ts";
import type { NetConf } from "../cni/config.ts";
import type { Host } from "../host/machine.ts";
import { describeLimits, type Limits, UNLIMITED } from "../topology/bandwidth.ts";

/** The limits that the configuration asks for, on links of this MTU (bytes). Throws code 7. */
export function readLimits({ raw }: NetConf, mtu: number, host: Host): Limits {
  if (!asksForBandwidth(raw)) return UNLIMITED;
  return describeLimits(parseBandwidth(raw), mtu, (direction, chosen, burst) =>
    host.log(
      `${direction}Burst=${chosen * 8} bits holds no packet of MTU ${mtu}, and none would pass: ${burst * 8} bits are used`,
    ),
  );
}
