import { openConnection } from "../../../src/kube/connection.ts";
import type { NodeSource } from "../../../src/kube/source.ts";
import { type NodeApiOptions, watchNodeApi } from "../../../src/kube/watch.ts";
import { type ApiServer, type ApiServerOptions, startApiServer } from "../../twin/apiserver.ts";
import { eventually, HASTE, openRecorder, type Recorder, rawNode } from "./recorder.ts";

const open: { close?: () => void; stop?: () => void }[] = [];

/**
 * Ends all that `play` began: for `afterEach` of each file that plays. (A hook registered here would count only for the
 * file that loads this one first.)
 */
export function endScenes(): void {
  for (const thing of open.splice(0).reverse()) {
    thing.close?.();
    thing.stop?.();
  }
}

export interface Scene {
  readonly server: ApiServer;
  readonly heard: Recorder;
  readonly source: NodeSource;
}

/** A server and a source that follows it, by the ServiceAccount. */
export async function play(
  server: ApiServerOptions,
  options: NodeApiOptions = {},
  before: (server: ApiServer) => void = () => {},
): Promise<Scene> {
  const twin = await startApiServer(server);
  open.push(twin);
  before(twin);
  const heard = openRecorder();
  const connection = openConnection({ kubeconfig: null, env: twin.env, serviceAccountDir: twin.folder });
  const source = watchNodeApi(connection, heard, { ...HASTE, ...options });
  open.push(source);
  return { server: twin, heard, source };
}

export const THREE: ApiServerOptions = { nodes: [rawNode(1), rawNode(2), rawNode(3)] };

/** Waits until the source follows the server and says that all is well. */
export async function watching({ server, heard }: Scene): Promise<void> {
  await eventually("a watch", () => server.openWatches() === 1 && heard.states.at(-1) === null);
}
