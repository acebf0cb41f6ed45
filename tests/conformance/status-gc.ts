import { existsSync, readdirSync } from "node:fs";
import type { Json, Pod } from "./node.ts";
import { type Case, few, parsed, type Trial } from "./trial.ts";

const NEWEST = { cniVersion: "1.1.0" };

const attachment = ({ id, ifname }: Pod): Json => ({ containerID: id, ifname });

/** Two attachments of a network with two addresses: both of them live, nothing free. */
function twoPods(trial: Trial): { conf: Json; kept: Pod; stale: Pod; keptResult: Json } {
  const conf = trial.conf(NEWEST, few(2));
  const [kept, stale] = [trial.node.pod(), trial.node.pod()];
  const keptResult = { ...trial.add(kept, conf) };
  trial.add(stale, conf);
  return { conf, kept, stale, keptResult };
}

/** The attachment is still whole. */
function alive(trial: Trial, what: string, pod: Pod, conf: Json, prevResult: Json): void {
  trial.that(
    trial.node.link("eth0", pod.netns) !== undefined,
    `${what}: the interface of a live one is gone`,
  );
  trial.silent(`${what}: CHECK of the live one`, trial.call("CHECK", pod, { ...conf, prevResult }));
}

/** Reservation files of a network, in the reference's layout. */
function reservations(trial: Trial, network: string): string[] {
  const folder = `${trial.node.dir}/data/${network}`;
  return existsSync(folder) ? readdirSync(folder).filter((name) => /^\d+\./.test(name)) : [];
}

/** Rules 50–58: STATUS and GC. */
export const STATUS_GC: readonly Case[] = [
  {
    rule: 50,
    title: "STATUS is 0 when ADD can be served, else code 50 or 51",
    level: "MUST / SHOULD",
    probe: (trial) => {
      const conf = trial.conf(NEWEST, few(1));
      trial.silent("STATUS of an empty node", trial.call("STATUS", null, conf));
      const pod = trial.node.pod();
      trial.add(pod, conf);
      const full = trial.refused("STATUS of an exhausted range", trial.call("STATUS", null, conf));
      trial.that(
        full === null || full.code === 50 || full.code === 51,
        `code ${full?.code}, wanted 50 or 51`,
      );
      trial.silent("DEL", trial.call("DEL", pod, conf));
      trial.silent("STATUS after DEL", trial.call("STATUS", null, conf));
    },
  },
  {
    rule: 51,
    title: "ADD and DEL work without STATUS, and while it fails",
    level: "MUST NOT",
    probe: (trial) => {
      const { ipam, conf } = trial.fake(NEWEST);
      ipam.fail("STATUS", 50, "not now");
      trial.refused("STATUS", trial.call("STATUS", null, conf), { code: 50 });
      const pod = trial.node.pod();
      trial.add(pod, conf);
      trial.silent("DEL", trial.call("DEL", pod, conf));
    },
  },
  {
    rule: 52,
    title: "STATUS is forwarded to the delegated plugin, and its error is ours",
    level: "MUST",
    probe: (trial) => {
      const { ipam, conf } = trial.fake(NEWEST);
      trial.silent("STATUS", trial.call("STATUS", null, conf));
      ipam.fail("STATUS", 51, "half dead");
      trial.refused("STATUS", trial.call("STATUS", null, conf), { code: 51, msg: /half dead/ });
      trial.equal("calls", ipam.commands(), ["STATUS", "STATUS"]);
    },
  },
  {
    rule: 53,
    title: "GC reads cni.dev/valid-attachments, and cni.dev/attachments where it is absent",
    level: "MUST",
    probe: (trial) => {
      for (const key of ["cni.dev/valid-attachments", "cni.dev/attachments"]) {
        const { conf, kept, stale, keptResult } = twoPods(trial);
        trial.silent(`GC by ${key}`, trial.call("GC", null, { ...conf, [key]: [attachment(kept)] }));
        alive(trial, key, kept, conf, keptResult);
        trial.that(trial.node.link("eth0", stale.netns) === undefined, `${key}: the stale interface is left`);
        const next = trial.node.pod();
        trial.added(`${key}: ADD in the freed place`, trial.call("ADD", next, conf));
        for (const pod of [kept, stale, next]) trial.call("DEL", pod, conf);
      }
      const { conf, kept, keptResult } = twoPods(trial);
      const both = { "cni.dev/valid-attachments": [attachment(kept)], "cni.dev/attachments": [] };
      trial.silent("GC with both keys", trial.call("GC", null, { ...conf, ...both }));
      alive(trial, "the first key wins", kept, conf, keptResult);
    },
  },
  {
    rule: 54,
    title: "GC removes links, reservations and rules of this network only, without a word",
    level: "SHOULD",
    probe: (trial) => {
      const conf = trial.conf({ ...NEWEST, ipMasq: true });
      const other = trial.conf(
        { ...NEWEST, name: "net2", bridge: "br1" },
        { ranges: [[{ subnet: "10.8.0.0/24" }]] },
      );
      const [here, gone, elsewhere] = [trial.node.pod(), trial.node.pod(), trial.node.pod()];
      trial.add(here, conf);
      trial.add(gone, conf);
      const kept = { ...trial.add(elsewhere, other) };
      trial.node.removeNamespace(gone);
      trial.silent("GC", trial.call("GC", null, { ...conf, "cni.dev/valid-attachments": [] }));
      trial.that(trial.node.link("eth0", here.netns) === undefined, "a stale interface is left");
      trial.equal("veths of the node", trial.node.veths().length, 1);
      trial.equal("reservations", reservations(trial, "net1"), []);
      trial.equal("reservations of the other network", reservations(trial, "net2").length, 1);
      trial.that(!/masquerade/i.test(trial.node.natRules()), "a masquerading rule is left");
      alive(trial, "the other network", elsewhere, other, kept);
    },
  },
  {
    rule: 55,
    title: "GC is forwarded to the delegated plugin, with its list",
    level: "MUST",
    probe: (trial) => {
      const { ipam, conf } = trial.fake(NEWEST);
      const valid = [{ containerID: "somebody", ifname: "eth0" }];
      const list = { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
      trial.silent("GC", trial.call("GC", null, { ...conf, ...list }));
      const call = ipam.calls()[0];
      trial.equal("command", call?.command, "GC");
      const config = parsed<Json>(call?.stdin ?? "");
      trial.equal("list at IPAM", config?.["cni.dev/valid-attachments"], valid);
      ipam.fail("GC", 120, "half collected");
      const done = trial.call("GC", null, { ...conf, ...list });
      trial.refused("GC of a failing IPAM plugin", done, { msg: /half collected/ });
    },
  },
  {
    rule: 56,
    title: "GC: an empty list means nothing is valid; null or no list harms no live one",
    level: "undefined",
    probe: (trial) => {
      const { conf, kept, stale, keptResult } = twoPods(trial);
      trial.silent("GC without a list", trial.call("GC", null, conf));
      alive(trial, "no list", kept, conf, keptResult);
      const nulls = { "cni.dev/valid-attachments": null, "cni.dev/attachments": null };
      trial.silent("GC with null", trial.call("GC", null, { ...conf, ...nulls }));
      alive(trial, "null", kept, conf, keptResult);
      trial.silent(
        "GC with an empty list",
        trial.call("GC", null, { ...conf, "cni.dev/valid-attachments": [] }),
      );
      for (const pod of [kept, stale]) {
        trial.that(trial.node.link("eth0", pod.netns) === undefined, `empty list: eth0 of ${pod.id} is left`);
      }
      trial.free("after an empty list", 2, conf);
    },
  },
  {
    rule: 58,
    title: "no GC and STATUS before 1.1.0",
    level: "MUST (library)",
    probe: (trial) => {
      for (const cniVersion of ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", undefined]) {
        for (const command of ["GC", "STATUS"]) {
          const wanted = { code: 1, msg: `config version does not allow ${command}` };
          const done = trial.call(command, null, trial.conf({ cniVersion }));
          trial.refused(`${command} under ${cniVersion}`, done, wanted);
        }
      }
    },
  },
];
