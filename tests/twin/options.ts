import type { AttachmentOptions } from "../../src/topology/attachment.ts";

/** An attachment to minicni0 that asks for nothing special. */
export const OPTIONS: AttachmentOptions = {
  bridge: "minicni0",
  hairpin: true,
  isolated: false,
  defaultRoute: true,
  enableDad: false,
  podDown: false,
  mtu: 1450,
  mac: null,
  routes: [],
};
