import type { Json, Pod } from "./node.ts";
import type { Result, Trial } from "./trial.ts";

const RANGES = {
  ranges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd00:12::/64" }]],
  routes: [{ dst: "0.0.0.0/0" }, { dst: "fd00:99::/64", gw: "fd00:12::1" }],
};
const DNS = { dns: { nameservers: ["10.1.0.1"] } };

/** ADD of both families, with and without DNS settings. */
function both(trial: Trial, cniVersion: string, more: Json): { pod: Pod; result: Result } {
  const pod = trial.node.pod();
  return { pod, result: trial.add(pod, trial.conf({ cniVersion, ...more }, RANGES)) };
}

/** 0.1.0 and 0.2.0: one object for each family. */
function oldest(cniVersion: string): (trial: Trial) => void {
  return (trial) => {
    const { result } = both(trial, cniVersion, DNS);
    const say = (what: string) => `${cniVersion}: ${what}`;
    trial.equal(say("cniVersion"), result.cniVersion, cniVersion);
    trial.equal(say("keys"), Object.keys(result).sort(), ["cniVersion", "dns", "ip4", "ip6"]);
    trial.that(/^10\.1\.2\.\d+\/24$/.test(result.ip4?.ip ?? ""), say(`ip4.ip is ${result.ip4?.ip}`));
    trial.equal(say("ip4.gateway"), result.ip4?.gateway, "10.1.2.1");
    trial.that(/^fd00:12::[0-9a-f]+\/64$/.test(result.ip6?.ip ?? ""), say(`ip6.ip is ${result.ip6?.ip}`));
    const routes = [...(result.ip4?.routes ?? []), ...(result.ip6?.routes ?? [])].map(({ dst }) => dst);
    trial.equal(say("routes"), routes, ["0.0.0.0/0", "fd00:99::/64"]);
    trial.equal(say("dns"), result.dns, DNS.dns);
    const twice = trial.conf(
      { cniVersion },
      { ranges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "10.1.3.0/24" }]] },
    );
    const msg = `CNI version ${cniVersion} does not support more than 1 address per family`;
    trial.refused(say("two addresses of a family"), trial.call("ADD", trial.node.pod(), twice), { msg });
    const none = trial.conf({
      cniVersion,
      ipam: undefined,
      isGateway: false,
      disableContainerInterface: true,
    });
    const wanted = { msg: /cannot convert: no valid IP addresses/ };
    trial.refused(say("no address at all"), trial.call("ADD", trial.node.pod(), none), wanted);
  };
}

/** 0.3.0 and later: lists of interfaces, addresses and routes. */
function lists(cniVersion: string): (trial: Trial) => void {
  const marksFamily = cniVersion.startsWith("0.");
  return (trial) => {
    const say = (what: string) => `${cniVersion}: ${what}`;
    const { pod, result } = both(trial, cniVersion, {});
    trial.equal(say("cniVersion"), result.cniVersion, cniVersion);
    trial.that(result.ip4 === undefined, say("it has ip4"));
    const families = result.ips?.map(({ version }) => version);
    trial.equal(say("version of the addresses"), families, marksFamily ? ["4", "6"] : [undefined, undefined]);
    trial.equal(say("dns without content"), result.dns, marksFamily ? {} : undefined);
    const at = result.ips?.map(({ interface: index }) => result.interfaces?.[index ?? -1]?.name);
    trial.equal(say("interfaces of the addresses"), at, [pod.ifname, pod.ifname]);
    const sandboxes = result.interfaces?.map(({ name, sandbox }) => [name === pod.ifname, sandbox ?? ""]);
    const wanted = result.interfaces?.map(({ name }) => [
      name === pod.ifname,
      name === pod.ifname ? pod.netns : "",
    ]);
    trial.equal(say("sandboxes"), sandboxes, wanted);
    trial.equal(
      say("routes"),
      result.routes?.map(({ dst }) => dst),
      ["0.0.0.0/0", "fd00:99::/64"],
    );
    const newer = result.interfaces?.some((each) => "mtu" in each || "socketPath" in each || "pciID" in each);
    trial.that(newer !== true || cniVersion === "1.1.0", say("an interface has a key of 1.1.0"));
    trial.equal(say("dns"), both(trial, cniVersion, DNS).result.dns, DNS.dns);
  };
}

/** The result's shape, a probe for each version. */
export const SHAPES: readonly ((trial: Trial) => void)[] = [
  ...["0.1.0", "0.2.0"].map(oldest),
  ...["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"].map(lists),
];
