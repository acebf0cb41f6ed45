import * as v from "valibot";

const FolderSchema = v.object({
  path: v.string(),
  state: v.picklist(["folder", "missing", "other"]),
  /** Decimal. */
  inode: v.string(),
  /** Why nothing can be made in it: `EROFS`, `EACCES`, `EPERM`; null when it can, or that can't be told from here. */
  fault: v.nullable(v.string()),
  mount: v.nullable(
    v.object({
      device: v.string(),
      point: v.string(),
      options: v.array(v.string()),
      fsType: v.string(),
    }),
  ),
});

/** A program in the folder of plugins, links followed. */
const ProgramSchema = v.object({
  name: v.string(),
  state: v.picklist(["file", "missing", "broken link", "other"]),
  bytes: v.number(),
  /** Permission bits. */
  mode: v.number(),
});

/** The folders that the container runtime and minicni share. */
export const RuntimeSchema = v.object({
  binDir: FolderSchema,
  confDir: FolderSchema,
  /** Whether minicni is installed: an agent was here, or there is a configuration that names the plugin. */
  isInstalled: v.boolean(),
  /** Why it can't be told whether the folders can be written; null where it can. */
  unseen: v.nullable(v.string()),
  programs: v.array(ProgramSchema),
  /** Runtimes whose processes can be seen. */
  runtimes: v.array(
    v.object({
      name: v.string(),
      pid: v.number(),
      /** The file that its folder of configurations is from; null: none was found, so that it is the default. */
      configFile: v.nullable(v.string()),
      /** The folder that it takes network configurations from; null: it takes none (CRI switched off). */
      confDir: v.nullable(v.string()),
      /** Whether it watches the folder as it is now; null: that can't be seen. */
      isWatching: v.nullable(v.boolean()),
      /** What it watches, `inode 4711 of 8:1`. */
      watches: v.array(v.string()),
    }),
  ),
});
export type Runtime = v.InferOutput<typeof RuntimeSchema>;
