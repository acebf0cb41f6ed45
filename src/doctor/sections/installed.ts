import * as v from "valibot";

const ProgramSchema = v.object({
  path: v.string(),
  /** SHA-256 in hex; null: it is no file. */
  digest: v.nullable(v.string()),
  /** Everybody may run it, and nobody but its owner write it. */
  hasMode: v.boolean(),
});

/** What `install` puts on a node, against what runs there. */
export const InstalledSchema = v.object({
  binDir: v.string(),
  confDir: v.string(),
  node: v.nullable(v.string()),
  /** The program that looks. */
  self: v.object({ path: v.string(), version: v.string() }),
  /** Null: nothing of that name. */
  plugin: v.nullable(
    v.object({
      ...ProgramSchema.entries,
      /** `launcher`: of ours, of whatever version; `whole`: our full binary under the plugin's name. */
      kind: v.picklist(["launcher", "whole", "other"]),
      /** Of a whole one: what it says of itself. */
      version: v.nullable(v.string()),
      /** Of a launcher: whether it is the one of the program that looks. */
      isSame: v.boolean(),
    }),
  ),
  standalone: v.nullable(
    v.object({
      ...ProgramSchema.entries,
      /** What it says of itself; null: it does not run. */
      version: v.nullable(v.string()),
    }),
  ),
  loopback: v.picklist(["absent", "there", "broken"]),
  /** Paths of what a killed installer left (`minicni-standalone.tmp`, some 100 MB); none while one is at work. */
  temporaries: v.optional(v.array(v.string()), []),
  /** The agent that told of itself in this boot. */
  agent: v.nullable(
    v.object({
      version: v.string(),
      /** SHA-256 of the program that its process runs; null: can't be seen from here. */
      digest: v.nullable(v.string()),
      /** It keeps the conflist: whatever is changed there by hand is put right within seconds. */
      isRunning: v.boolean(),
      /** It has said that pods may come, and writes the conflist by that. */
      isReady: v.boolean(),
    }),
  ),
  conflist: v.object({
    path: v.string(),
    /** `none`: the agent is told to write none (MINICNI_CONF_DIR empty). */
    state: v.picklist(["absent", "same", "differs", "unreadable", "none"]),
    /** A line for each difference; values that might be secret are not told. */
    drift: v.array(v.string()),
  }),
  /** Names of configurations of Go minicni in the folder: a runtime may take them. */
  oldConfigs: v.array(v.string()),
});
export type Installed = v.InferOutput<typeof InstalledSchema>;
