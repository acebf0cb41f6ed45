import { existsSync } from "node:fs";
import { type Json, PATIENCE, run } from "./node.ts";
import { addressOf, type Case, few, type Trial } from "./trial.ts";

/** What a Go runtime without json tags would send, and worse. */
function oddlyCased({ cniVersion, name, type, bridge, isGateway, ...rest }: Json, ipam: Json): Json {
  const { type: ipamType, dataDir, routes } = ipam;
  return {
    CNIVersion: cniVersion,
    NAME: name,
    Type: type,
    BRIDGE: bridge,
    IsGateway: isGateway,
    ...rest,
    ipam: undefined,
    IPAM: {
      Type: ipamType,
      DATADIR: dataDir,
      Routes: routes,
      Ranges: [
        [{ Subnet: "10.1.2.0/24", RangeStart: "10.1.2.40", rangeend: "10.1.2.49", GateWay: "10.1.2.9" }],
      ],
    },
    RuntimeConfig: {
      IPS: ["10.1.2.44"],
      PortMappings: [{ HostPort: 80, ContainerPort: 80, Protocol: "tcp" }],
    },
  };
}

/** A folder in the place of stdin: it can be opened, but reading fails. */
function unreadable(trial: Trial, command: string): void {
  const argv = ["sh", "-c", 'exec "$@" <"$0"', trial.node.dir, ...trial.argv()];
  const done = run(argv, "", trial.variables(command, trial.node.pod()));
  trial.refused(`${command} with unreadable stdin`, done, { code: 5 });
}

/** Rules 16–24: the configuration on stdin. */
export const STDIN: readonly Case[] = [
  {
    rule: 16,
    title: "the configuration as the runtime derives it",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      const derived = trial.conf({ cniVersion: "1.1.0", runtimeConfig: {} });
      const prevResult = trial.add(pod, derived);
      trial.silent("CHECK", trial.call("CHECK", pod, { ...derived, prevResult }));
      const valid = [{ containerID: pod.id, ifname: pod.ifname }];
      const lists = { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
      trial.silent("GC", trial.call("GC", null, { ...derived, ...lists }));
      trial.silent("DEL", trial.call("DEL", pod, { ...derived, prevResult }));
    },
  },
  {
    rule: 17,
    title: "a `capabilities` key that was not stripped is tolerated",
    level: "de facto",
    probe: (trial) => {
      const pod = trial.node.pod();
      const capabilities = { portMappings: true, bandwidth: true, ips: true };
      const prevResult = trial.add(pod, trial.conf({ capabilities }));
      trial.silent("CHECK", trial.call("CHECK", pod, trial.conf({ capabilities, prevResult })));
      trial.silent("DEL", trial.call("DEL", pod, trial.conf({ capabilities, prevResult })));
    },
  },
  {
    rule: 18,
    title: "`runtimeConfig` and its values may be null",
    level: "de facto",
    probe: (trial) => {
      const nothing = {
        portMappings: null,
        bandwidth: null,
        dns: null,
        ips: null,
        ipRanges: null,
        mac: null,
      };
      trial.add(trial.node.pod(), trial.conf({ runtimeConfig: nothing }));
      trial.add(trial.node.pod(), trial.conf({ runtimeConfig: null, args: null, dns: null }));
      const pod = trial.node.pod();
      const prevResult = trial.add(pod, trial.conf({ runtimeConfig: { portMappings: null } }));
      const conf = trial.conf({ runtimeConfig: nothing, prevResult });
      trial.silent("CHECK", trial.call("CHECK", pod, conf));
      trial.silent("DEL", trial.call("DEL", pod, conf));
    },
  },
  {
    rule: 19,
    title: "keys are matched without regard to case",
    level: "de facto",
    probe: (trial) => {
      const pod = trial.node.pod();
      const conf = trial.conf();
      const ipam = typeof conf.ipam === "object" && conf.ipam !== null ? conf.ipam : {};
      const odd = oddlyCased(conf, { ...ipam });
      const result = trial.add(pod, odd);
      trial.equal("cniVersion", result.cniVersion, "1.0.0");
      trial.equal("address asked for", addressOf(result), "10.1.2.44");
      trial.equal("gateway", result.ips?.[0]?.gateway, "10.1.2.9");
      const { interfaces, ips, routes } = result;
      const prevResult = {
        CNIVersion: "1.0.0",
        Interfaces: interfaces?.map(({ name, mac, sandbox }) => ({ Name: name, Mac: mac, Sandbox: sandbox })),
        IPs: ips?.map(({ address, gateway, interface: at }) => ({
          Address: address,
          Gateway: gateway,
          Interface: at,
        })),
        Routes: routes?.map(({ dst, gw }) => ({ Dst: dst, GW: gw })),
      };
      trial.silent("CHECK", trial.call("CHECK", pod, { ...odd, PrevResult: prevResult }));
      const elsewhere = { ...prevResult, IPs: [{ Address: "10.1.2.45/24", Interface: 2 }] };
      const done = trial.call("CHECK", pod, { ...odd, PrevResult: elsewhere });
      trial.refused("CHECK of an address that is not there", done);
      trial.silent("DEL", trial.call("DEL", pod, { ...odd, PrevResult: prevResult }));
      trial.that(trial.node.link("eth0", pod.netns) === undefined, "DEL left eth0");
    },
  },
  {
    rule: 20,
    title: "unreadable stdin is code 5, bad JSON code 6, a bad name code 7",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      for (const command of ["ADD", "DEL"]) unreadable(trial, command);
      for (const text of ["", "{", "[]", '"x"', '{"name": 5}', "x".repeat(99)]) {
        const done = trial.call("ADD", pod, text);
        trial.refused(`stdin ${JSON.stringify(text)}`, done, { code: 6 });
      }
      trial.refused("stdin {}", trial.call("ADD", pod, "{}"), { code: 7 });
      trial.refused("name a/b", trial.call("DEL", pod, trial.conf({ name: "a/b" })), { code: 7 });
    },
  },
  {
    rule: 21,
    title: "unknown fields are ignored or named in an error, `args` may hold anything",
    level: "MAY / MUST",
    probe: (trial) => {
      const unknown = trial.call("ADD", trial.node.pod(), trial.conf({ nobodyKnows: "this-value" }));
      if (unknown.exitCode === 0) trial.added("unknown key", unknown);
      else trial.refused("unknown key", unknown, { code: 2, msg: /nobodyKnows.*this-value/ });
      for (const args of [{ cni: { labels: [{ key: "a", value: "b" }] } }, { other: [1, { a: null }] }, {}]) {
        trial.add(trial.node.pod(), trial.conf({ args }));
      }
    },
  },
  {
    rule: 22,
    title: "well-known keys keep their meaning: ipMasq, ipam.type, dns",
    level: "SHOULD",
    probe: (trial) => {
      const pod = trial.node.pod();
      const dns = { nameservers: ["10.1.0.1"], domain: "a.example", search: ["b.example"], options: ["c"] };
      const conf = trial.conf({ dns, ipMasq: true }, few(1));
      const result = trial.add(pod, conf);
      trial.equal("dns", result.dns, dns);
      const masquerades = () => /masquerade/i.test(trial.node.natRules());
      trial.that(masquerades(), "no masquerading rule after ADD with ipMasq");
      trial.silent("DEL", trial.call("DEL", pod, conf));
      trial.that(!masquerades(), "a masquerading rule is left after DEL");
      const trap = `${trial.node.dir}/executed`;
      trial.node.install("trap", `#!/bin/sh\ntouch ${trap}\n`);
      for (const type of ["../bin/trap", `${trial.node.bin}/trap`, "a\\b"]) {
        const done = trial.call("ADD", trial.node.pod(), trial.conf({ ipam: { type } }));
        trial.refused(`ipam.type ${type}`, done);
      }
      trial.that(!existsSync(trap), "a program outside of CNI_PATH's names was executed");
    },
  },
  {
    rule: 24,
    title: "VERSION does not wait for the end of stdin",
    level: "MUST (library)",
    probe: async (trial) => {
      const child = Bun.spawn({
        cmd: trial.argv(),
        env: { PATH: process.env.PATH, ...trial.variables("VERSION", null) },
        stdin: "pipe",
        stdout: "pipe",
        stderr: "ignore",
        timeout: PATIENCE / 3,
        killSignal: "SIGKILL",
      });
      const stdout = await child.stdout.text();
      const exitCode = await child.exited;
      child.stdin.end();
      trial.that(child.signalCode === null, "it hung while stdin stayed open");
      const told = trial.added("VERSION with stdin open", { exitCode, stdout, stderr: "" });
      trial.that(told !== null && "supportedVersions" in told, `no supportedVersions in ${stdout}`);
    },
  },
];
