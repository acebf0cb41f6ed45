import type { DoctorContext } from "./context.ts";

/** Where a folder of the node's is from here: below the root folder where it is there, else as it is called. */
export function placeOf({ host, settings: { root } }: DoctorContext, path: string): string {
  return root !== "" && host.observeFile(`${root}${path}/.`) !== null ? `${root}${path}` : path;
}

/** Whether we run in a pod, with mounts and processes of our own. */
export function isInPod(env: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return Boolean(env.KUBERNETES_SERVICE_HOST);
}
