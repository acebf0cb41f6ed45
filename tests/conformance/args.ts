import type { Json } from "./node.ts";
import { addressOf, type Case } from "./trial.ts";

const KUBERNETES =
  "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1";
const MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"] as const;

/** Every capability of the conventions, in its form there. */
const CAPABILITIES: readonly Json[] = [
  { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp", hostIP: "127.0.0.1" }] },
  { bandwidth: { ingressRate: 2048, ingressBurst: 1600, egressRate: 4096, egressBurst: 1600 } },
  { bandwidth: { IngressRate: 1e6, IngressBurst: 4294967295, EgressRate: 1e6, EgressBurst: 4294967295 } },
  { dns: { servers: ["10.1.0.1"], searches: ["a.example"], options: ["ndots:5"] } },
  { infinibandGUID: "c2:11:22:33:44:55:66:77" },
  { deviceID: "0000:04:00.5" },
  { aliases: ["web", "db"] },
  { cgroupPath: "/kubelet/pod1" },
];

/** Rules 67–71: capabilities, args, CNI_ARGS. */
export const ARGS: readonly Case[] = [
  {
    rule: 67,
    title: "a capability is acted upon, and refused when it is malformed",
    level: "SHOULD",
    probe: (trial) => {
      const pod = trial.node.pod();
      const capabilities = { ips: true, mac: true };
      const runtimeConfig = { ips: ["10.1.2.77"], mac: MACS[0] };
      const result = trial.add(pod, trial.conf({ capabilities, runtimeConfig }));
      trial.equal("address", addressOf(result), "10.1.2.77");
      trial.equal("MAC", trial.node.link("eth0", pod.netns)?.address, MACS[0]);
      for (const bad of [
        { ips: ["nonsense"] },
        { ips: "10.1.2.78" },
        { mac: "zz:zz" },
        { ipRanges: [[{ subnet: "x" }]] },
      ]) {
        const done = trial.call("ADD", trial.node.pod(), trial.conf({ capabilities, runtimeConfig: bad }));
        trial.refused(`runtimeConfig ${JSON.stringify(bad)}`, done);
      }
    },
  },
  {
    rule: 68,
    title: "the forms of the capabilities: ips, ipRanges, mac; the others are tolerated",
    level: "convention",
    probe: (trial) => {
      const asked = (runtimeConfig: Json) => trial.add(trial.node.pod(), trial.conf({ runtimeConfig }));
      trial.equal("ips", addressOf(asked({ ips: ["10.1.2.66"] })), "10.1.2.66");
      trial.equal("ips with a length", addressOf(asked({ ips: ["10.1.2.67/24"] })), "10.1.2.67");
      const range = {
        subnet: "fd00:5::/64",
        rangeStart: "fd00:5::50",
        rangeEnd: "fd00:5::59",
        gateway: "fd00:5::9",
      };
      const addresses = asked({ ipRanges: [[range]] }).ips ?? [];
      const fromRange = addresses.find(({ address }) => address.startsWith("fd00:5::5"));
      trial.equal("gateway of the address from ipRanges", fromRange?.gateway, "fd00:5::9");
      const pod = trial.node.pod();
      trial.add(pod, trial.conf({ runtimeConfig: { mac: MACS[1] } }));
      trial.equal("mac", trial.node.link("eth0", pod.netns)?.address, MACS[1]);
      for (const runtimeConfig of CAPABILITIES) asked(runtimeConfig);
    },
  },
  {
    rule: 69,
    title: "args.cni: ips, mac, labels; runtimeConfig before args before CNI_ARGS",
    level: "convention",
    probe: (trial) => {
      const byArgs = trial.conf({
        args: { cni: { ips: ["10.1.2.55"], labels: [{ key: "a", value: "b" }] } },
      });
      trial.equal("args.cni.ips", addressOf(trial.add(trial.node.pod(), byArgs)), "10.1.2.55");
      const macOf = (conf: Json, CNI_ARGS: string) => {
        const pod = trial.node.pod();
        trial.add(pod, trial.conf(conf), { CNI_ARGS });
        return trial.node.link("eth0", pod.netns)?.address;
      };
      const args = { cni: { mac: MACS[1] } };
      const fromEnvironment = `IgnoreUnknown=1;MAC=${MACS[2]}`;
      trial.equal("MAC of CNI_ARGS", macOf({}, fromEnvironment), MACS[2]);
      trial.equal("MAC of args before CNI_ARGS", macOf({ args }, fromEnvironment), MACS[1]);
      const runtimeConfig = { mac: MACS[0] };
      trial.equal("MAC of runtimeConfig first", macOf({ args, runtimeConfig }, fromEnvironment), MACS[0]);
      const both = trial.conf({ args: { cni: { ips: ["10.1.2.156"] } } });
      const CNI_ARGS = "IgnoreUnknown=1;IP=10.1.2.157";
      const done = trial.added("IP in both", trial.call("ADD", trial.node.pod(), both, { CNI_ARGS }));
      if (done !== null) trial.equal("address of args before CNI_ARGS", addressOf(done), "10.1.2.156");
    },
  },
  {
    rule: 70,
    title: "CNI_ARGS: pairs, Kubernetes' keys, IP and MAC; a pair without = is refused",
    level: "de facto",
    probe: (trial) => {
      const added = (CNI_ARGS: string) => {
        const pod = trial.node.pod();
        return { pod, result: trial.add(pod, trial.conf(), { CNI_ARGS }) };
      };
      added(KUBERNETES);
      added("IgnoreUnknown=true;Nobody=knows");
      const { pod, result } = added(`IgnoreUnknown=1;IP=10.1.2.88;MAC=${MACS[0]}`);
      trial.equal("IP", addressOf(result), "10.1.2.88");
      trial.equal("MAC", trial.node.link("eth0", pod.netns)?.address, MACS[0]);
      for (const CNI_ARGS of ["nonsense", "IgnoreUnknown=1;nonsense", "IP=nonsense"]) {
        const done = trial.call("ADD", trial.node.pod(), trial.conf(), { CNI_ARGS });
        trial.refused(`ADD with CNI_ARGS ${CNI_ARGS}`, done);
      }
    },
  },
  {
    rule: 71,
    title: "pod annotations as a capability are tolerated",
    level: "de facto",
    probe: (trial) => {
      const key = "io.kubernetes.cri.pod-annotations";
      const pod = trial.node.pod();
      const more = { capabilities: { [key]: true }, runtimeConfig: { [key]: { "a.example/b": "c" } } };
      const prevResult = trial.add(pod, trial.conf(more));
      trial.silent("CHECK", trial.call("CHECK", pod, trial.conf({ ...more, prevResult })));
      trial.silent("DEL", trial.call("DEL", pod, trial.conf({ ...more, prevResult })));
    },
  },
];
