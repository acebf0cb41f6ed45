import { readFile } from "node:fs/promises";

/** Where the API is and how to prove who we are, for one request. */
export interface Access {
  /** `https://host:port`, maybe with a path, without a slash at the end. */
  readonly server: string;
  /** Authorization, Impersonate-User; secrets, never to be told. */
  readonly headers: Readonly<Record<string, string>>;
  /** For Bun's fetch, PEM texts. Without `ca` the system's own roots count. The server is verified always. */
  readonly tls: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly serverName?: string;
  };
  /** `http://host:port` of a proxy that the kubeconfig names. */
  readonly proxy?: string;
}

/** We can't even ask: no address, no credentials, or ones that we refuse to use. The message says what to do. */
export class ConnectionFault extends Error {
  override readonly name = "ConnectionFault";
}

/** The text of a token or PEM file without blanks around. Throws ConnectionFault when it can't be read or is empty. */
export async function readCredential(path: string, advice: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(path, "utf8")).trim();
  } catch (error) {
    throw new ConnectionFault(`${error instanceof Error ? error.message : String(error)}; ${advice}`);
  }
  if (text === "") throw new ConnectionFault(`${path} is empty; ${advice}`);
  return text;
}
