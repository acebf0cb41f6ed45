import { CNI_CODE, CniError } from "../cni/errors.ts";
import { parseResult } from "../cni/prev.ts";
import { formatResult, type Result } from "../cni/result.ts";
import { formatVersions } from "../cni/version.ts";
import type { Host } from "../host/machine.ts";
import { observeSandbox } from "../host/sandbox.ts";
import { parsePrefix } from "../net/prefix.ts";
import type { Call } from "./call.ts";
import type { Verbs } from "./cni.ts";

const LO = "lo";
const NO_MAC = "00:00:00:00:00:00";

/**
 * The plugin that runtimes know by the name `loopback`: it brings a sandbox's `lo` up, whatever CNI_IFNAME says. DEL has
 * nothing to undo: `lo` goes with its namespace, and what runs there still may need it.
 */
export const LOOPBACK_VERBS: Verbs = {
  run: async (command, call, host) => {
    switch (command) {
      case "ADD":
        return await add(call, host);
      case "CHECK":
        await check(call, host);
        return "";
      case "VERSION":
        return formatVersions(call.conf.cniVersion);
      case "DEL":
      case "GC":
      case "STATUS":
        return "";
    }
  },
  takeBack: async () => undefined,
};

/** What a plugin before us gave is passed on as it is, as the reference does. */
async function add({ conf, environment: { netns } }: Call, host: Host): Promise<string> {
  const before = parseResult(conf.raw.prevResult, conf.cniVersion, "prevResult");
  await host.execute([{ op: "link.set", name: LO, set: { up: true }, netns, why: "loopback" }]);
  return formatResult(conf.cniVersion, before ?? (await resultOf(netns, host)));
}

async function resultOf(netns: string, host: Host): Promise<Result> {
  const { addresses } = await observeSandbox(host, netns, LO);
  return {
    interfaces: [{ name: LO, mac: NO_MAC, sandbox: netns }],
    ips: addresses.flatMap((text) => {
      const address = parsePrefix(text);
      return address === null ? [] : [{ address, gateway: null, interface: 0 }];
    }),
    routes: [],
    dns: {},
  };
}

async function check({ environment: { netns } }: Call, host: Host): Promise<void> {
  const { link } = await observeSandbox(host, netns, LO);
  if (link?.up === true) return;
  throw new CniError(CNI_CODE.internal, "loopback interface is down", `in ${netns}, wanted up`);
}
