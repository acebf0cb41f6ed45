import { type Access, ConnectionFault, readCredential } from "./credential.ts";
import { readKubeconfig } from "./kubeconfig.ts";

/** A way to the API server that outlives rotated tokens and certificates. */
export interface Connection {
  /** For messages: `in-cluster ServiceAccount` or `kubeconfig /path`. */
  readonly name: string;
  /** What to look at when nobody answers at the address; undefined: nothing in particular. */
  readonly unreached?: string;
  /** Reads files again when a minute has passed, or after `renew`. Throws ConnectionFault. */
  readonly access: () => Promise<Access>;
  /** The server did not believe us: the next `access` reads everything again. */
  readonly renew: () => void;
}

/** Where to look for the API server. */
export interface ConnectionOptions {
  /** Path of a kubeconfig; null: the ServiceAccount of the pod that we run in. */
  readonly kubeconfig: string | null;
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are read from here. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder with `token` and `ca.crt`; where kubelet mounts it unless given. */
  readonly serviceAccountDir?: string;
}

const SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";
/** Not more often than once a minute, as client-go does (rest/token_source.go `cachingTokenSource`, period 1 min). */
const REREAD_MS = 60_000;

/** Reads nothing yet: what is wrong comes out of `access`, so that a file which comes later is found. */
export function openConnection(options: ConnectionOptions): Connection {
  const { kubeconfig } = options;
  const name = kubeconfig === null ? "in-cluster ServiceAccount" : `kubeconfig ${kubeconfig}`;
  const read = kubeconfig === null ? () => readServiceAccount(options) : () => readKubeconfig(kubeconfig);
  let known: { readonly access: Access; readonly atMs: number } | null = null;
  return {
    name,
    ...(kubeconfig === null ? { unreached: describeServiceAddress(options.env) } : {}),
    access: async () => {
      if (known !== null && performance.now() - known.atMs < REREAD_MS) return known.access;
      const access = await read();
      known = { access, atMs: performance.now() };
      return access;
    },
    renew: () => {
      known = null;
    },
  };
}

/** The address that a pod is given is no machine's: it needs kube-proxy, also in the host's network. */
function describeServiceAddress({ KUBERNETES_SERVICE_HOST: host = "" }: ConnectionOptions["env"]): string {
  return (
    `KUBERNETES_SERVICE_HOST is ${host}: where that is the Service \`kubernetes\`, it leads nowhere before kube-proxy ` +
    "runs on this node (see its pod); where there is no kube-proxy by intention, set KUBERNETES_SERVICE_HOST and " +
    "KUBERNETES_SERVICE_PORT of the DaemonSet's container to an API server's own address"
  );
}

/**
 * The in-cluster case, by two files. Not by KubeConfig of `@kubernetes/client-node`: that costs 23 MB of memory in the
 * compiled program (26 → 49 MB, 13 ms), and nearly every agent runs in a cluster.
 */
async function readServiceAccount({ env, serviceAccountDir }: ConnectionOptions): Promise<Access> {
  const host = env.KUBERNETES_SERVICE_HOST;
  const port = env.KUBERNETES_SERVICE_PORT;
  if (!host || !port) {
    throw new ConnectionFault(
      "no API server known: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; run in a pod, or give --kubeconfig or --nodes",
    );
  }
  const server = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  if (!URL.canParse(server))
    throw new ConnectionFault(`KUBERNETES_SERVICE_HOST and _PORT make no address: ${server}`);
  const dir = serviceAccountDir ?? SERVICE_ACCOUNT_DIR;
  const advice = "is the ServiceAccount's token mounted (automountServiceAccountToken)?";
  const token = await readCredential(`${dir}/token`, advice);
  const ca = await readCredential(`${dir}/ca.crt`, advice);
  return { server, headers: { Authorization: `Bearer ${token}` }, tls: { ca } };
}
