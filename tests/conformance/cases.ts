import { ADD } from "./add.ts";
import { ARGS } from "./args.ts";
import { CHECK } from "./check.ts";
import { DEL } from "./del.ts";
import { DELEGATION } from "./delegation.ts";
import { ENVIRONMENT } from "./environment.ts";
import { NAMES } from "./names.ts";
import { NETNS } from "./netns.ts";
import { OUTPUT } from "./output.ts";
import { STATUS_GC } from "./status-gc.ts";
import { STDIN } from "./stdin.ts";
import type { Case } from "./trial.ts";
import { VERSIONS } from "./versions.ts";

/** All cases by the number of their rule. */
export const CASES: readonly Case[] = [
  ...ENVIRONMENT,
  ...NAMES,
  ...STDIN,
  ...OUTPUT,
  ...ADD,
  ...DEL,
  ...CHECK,
  ...STATUS_GC,
  ...NETNS,
  ...VERSIONS,
  ...ARGS,
  ...DELEGATION,
].sort((a, b) => a.rule - b.rule);

/** How many rules the checklist has. */
export const RULES = 76;

/** A rule that no plugin can keep or break. */
export interface NoPluginRule {
  readonly rule: number;
  readonly title: string;
  readonly level: string;
  readonly reason: string;
}

/** Rules of the checklist that bind somebody else. */
export const NO_PLUGIN_RULES: readonly NoPluginRule[] = [
  {
    rule: 23,
    title: "keys of a list that a plugin never sees: cniVersions, disableCheck, disableGC, plugins …",
    level: "–",
    reason: "they bind the runtime and the installer that writes the file",
  },
  {
    rule: 57,
    title: "GC runs alone and is no substitute for DEL",
    level: "MUST (runtime)",
    reason: "the runtime has to see to it",
  },
  {
    rule: 59,
    title: "a Go plugin without a GC or STATUS function returns success silently",
    level: "–",
    reason: "it describes the inside of the Go library; 50 and 54 say what is wanted of both commands",
  },
  {
    rule: 61,
    title: "the namespace is made before ADD and removed after DEL; the plugin runs in the node's own",
    level: "MUST (runtime)",
    reason: "the runtime makes and removes the namespace",
  },
  {
    rule: 66,
    title: "the highest version of cniVersion and cniVersions that both sides know is chosen",
    level: "MUST (runtime)",
    reason: "the runtime chooses",
  },
];
