import type { Finished } from "../kernel/sandbox.ts";

/** What the attachments on a machine hold. */
export interface Attachments {
  /** Our host-side veths. */
  readonly veths: number;
  /** Addresses. */
  readonly reservations: readonly string[];
  /** Records below /run/minicni. */
  readonly records: number;
}

export const NO_ATTACHMENTS: Attachments = { veths: 0, reservations: [], records: 0 };

/** What an attachment leaves if it is not undone; `run` runs a command on the machine. */
export function observeAttachments(run: (argv: readonly string[]) => Finished, network: string): Attachments {
  const links = run(["ip", "-o", "link", "show", "type", "veth"]);
  // Else a machine that ended would be one without attachments.
  if (links.exitCode !== 0) throw new Error(`no links can be read: ${links.stderr}`);
  const list = (folder: string) => {
    const found = run(["find", folder, "-type", "f", "-printf", "%f\\n"]).stdout;
    return found.split("\n").filter((name) => name !== "");
  };
  return {
    veths: links.stdout.match(/\bmcni[^@:]*/g)?.length ?? 0,
    reservations: list(`/var/lib/cni/networks/${network}`)
      .filter((name) => /^[0-9a-f]+[.:]/.test(name))
      .sort(),
    records: list(`/run/minicni/attachments/${network}`).length,
  };
}
