import * as v from "valibot";

const SettingSchema = v.object({
  /** The host's file. */
  file: v.string(),
  section: v.string(),
  key: v.string(),
  value: v.string(),
});

/** Programs that set up links and routes, and what they were told about those of others. */
export const LinkOwnersSchema = v.object({
  /** Ours: those that are here, and what comes with pods and peers. */
  links: v.array(v.object({ name: v.string(), kind: v.string(), index: v.nullable(v.number()) })),
  /** Whether routes of ours are, or may come to be, on links that are not ours: without a tunnel. */
  hasDirectRoutes: v.boolean(),
  networkd: v.object({
    /** By what it is known to run; null: it does not. */
    runs: v.nullable(v.string()),
    /** ManageForeign… of networkd.conf and its drop-ins, in the order in which they count: the last one wins. */
    foreign: v.array(SettingSchema),
    /** The `.network` files in the order in which they are tried: the first that matches is the link's. */
    files: v.array(
      v.object({
        file: v.string(),
        /** Sections [Match] and [Link] alone; others can hold keys of WireGuard and the like. */
        text: v.string(),
      }),
    ),
    /** Links that it sets up, by /run/systemd/netif/links. */
    managed: v.array(v.object({ index: v.number(), name: v.string(), state: v.string(), file: v.string() })),
  }),
  networkManager: v.object({
    runs: v.nullable(v.string()),
    /** What says which links it leaves alone, in the order in which it counts. */
    settings: v.array(SettingSchema),
  }),
});
export type LinkOwners = v.InferOutput<typeof LinkOwnersSchema>;
