import * as v from "valibot";

/** The folder of network configurations, and what other network plugins have on this node. */
export const CniConfigsSchema = v.object({
  confDir: v.string(),
  /** Files that a runtime reads, in its order. No text of theirs: some hold credentials. */
  files: v.array(
    v.object({
      name: v.string(),
      /** `network "cbr0", plugins flannel, portmap`; null: it is no network configuration. */
      kind: v.nullable(v.string()),
      /** Why there is no `kind`: `no JSON`, …; null where there is one. */
      fault: v.nullable(v.string()),
      /** Whether a runtime calls our plugin by it. */
      isOurs: v.boolean(),
    }),
  ),
  /** Names of those that a runtime takes before ours and whose pods would be none of ours. */
  before: v.array(v.string()),
  links: v.array(v.object({ name: v.string(), addresses: v.array(v.string()) })),
  /** Chains with a name of another network plugin's, by the program that shows them. */
  chains: v.array(v.object({ program: v.string(), table: v.string(), chain: v.string() })),
  /** `inet calico`. */
  tables: v.array(v.string()),
  /** Routes of other network plugins' protocols. */
  routes: v.array(
    v.object({ family: v.picklist([4, 6]), dst: v.string(), protocol: v.number(), dev: v.string() }),
  ),
  /** Names of the processes of other network plugins that run. */
  programs: v.array(v.string()),
  /** Whether the host's processes can be seen: in a pod they can't. */
  seesHost: v.boolean(),
  unseen: v.array(v.string()),
});
export type CniConfigs = v.InferOutput<typeof CniConfigsSchema>;
