/** What kubelet sends for procMount Default: k8s.io/kubernetes pkg/securitycontext/util.go. */
export const MASKED_PATHS = [
  ...[
    "asound",
    "acpi",
    "kcore",
    "keys",
    "latency_stats",
    "timer_list",
    "timer_stats",
    "sched_debug",
    "scsi",
  ].map((name) => `/proc/${name}`),
  "/sys/firmware",
];
/** And mounts read-only. */
export const READONLY_PATHS = ["bus", "fs", "irq", "sys", "sysrq-trigger"].map((name) => `/proc/${name}`);
