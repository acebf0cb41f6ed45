import * as v from "valibot";

/** What the kernel has of what we need. */
export const KernelSchema = v.object({
  /** `uname -r`. */
  release: v.string(),
  features: v.array(
    v.object({
      /** As {@link FEATURES} of the check names it. */
      name: v.string(),
      /**
       * `there`: it works, or its module is at hand; `missing`: it was tried in a namespace of its own, and the kernel refused;
       * `blocked`: its module is at hand, and a line of modprobe.d keeps it from being loaded; `unknown`: nobody may try.
       */
      state: v.picklist(["there", "missing", "blocked", "unknown"]),
      /** How that is known, or what the kernel said; `blocked`: `/etc/modprobe.d/x.conf:3: blacklist vxlan`. */
      detail: v.string(),
    }),
  ),
  /** Keys in our configurations that need features of their own: `vlan`, `bandwidth`. */
  keys: v.array(v.string()),
  /** Whether peers may be behind a tunnel. */
  mayTunnel: v.boolean(),
  /** The disk has modules, and none of this kernel: it was replaced by another since the boot. */
  isReplaced: v.boolean(),
  /** `kernel.modules_disabled`: until the next boot nothing can be loaded. */
  isLocked: v.boolean(),
});
export type Kernel = v.InferOutput<typeof KernelSchema>;
