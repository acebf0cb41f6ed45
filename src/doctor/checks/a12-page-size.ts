import { check } from "../check.ts";
import { pass, warn } from "../finding.ts";

/** What nearly all kernels have. */
const USUAL = 4096;
/** Kernels of some distributions for ARM and POWER (CONFIG_ARM64_64K_PAGES). */
const LARGE = 65536;

/** A12: with pages of 64 KiB every process takes more memory; limits made for 4 KiB kill agents (kind#3009). */
export const pageSizeCheck = check("A12", "page size", ["pageSize"], ({ pageSize: { bytes } }) => {
  const evidence = [`page size: ${bytes} bytes`];
  if (bytes < LARGE) return [pass(`pages of ${bytes / 1024} KiB`, evidence)];
  return [
    warn({
      message: `pages of ${bytes / 1024} KiB: what runs here takes more memory than on pages of ${USUAL / 1024} KiB`,
      evidence,
      cause:
        "a memory limit that was measured on pages of 4 KiB kills the agent, or plugins that a runtime starts in its own cgroup",
      fix: [
        "# give the agent no memory limit (the manifest has none), and other plugins at least twice what they ask for",
      ],
    }),
  ];
});
