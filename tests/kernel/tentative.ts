import type { Pod, Sandbox } from "./sandbox.ts";

/** Below the second that duplicate address detection takes (RFC 4862, RetransTimer). */
const QUEUE_MS = 500;

/**
 * Addresses of the pod that duplicate address detection has not yet released. A global one counts at once; the link-local
 * one comes out of the kernel's own queue, which a busy machine lets wait.
 */
export function tentative(box: Sandbox, pod: Pod): string[] {
  const end = performance.now() + QUEUE_MS;
  for (;;) {
    const found = box.link("eth0", pod.netns).addr_info.filter((address) => address.tentative === true);
    const isQueued = found.length > 0 && found.every(({ scope }) => scope === "link");
    if (!isQueued || performance.now() > end) return found.map(({ local }) => local);
    Bun.sleepSync(10);
  }
}
