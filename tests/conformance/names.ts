import type { Case } from "./trial.ts";

const NEWEST = { cniVersion: "1.1.0" };
const BAD_IDS = ["-a", "_a", ".a", "a/b", "a b", "a;b", "ä", "../x", "a\nb"];
const GOOD_IDS = ["a", "0", "A.b_c-1", "0123456789abcdef".repeat(4)];
const BAD_NAMES: readonly (readonly [string, RegExp])[] = [
  ["sixteen-bytes-xx", /interface name is too long/],
  [".", /interface name is \. or \.\./],
  ["..", /interface name is \. or \.\./],
  ["a/b", /interface name contains \/ or : or whitespace characters/],
  ["a:b", /interface name contains/],
  ["a b", /interface name contains/],
  ["a\tb", /interface name contains/],
  ["a\u00a0b", /interface name contains/],
];

/** Rules 8–11: the ID, the interface name, the network name. */
export const NAMES: readonly Case[] = [
  {
    rule: 8,
    title: "container IDs: alphanumeric first, then also _ . -",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      for (const id of BAD_IDS) {
        const what = `ADD of ${JSON.stringify(id)}`;
        const wanted = { code: 4, msg: /invalid characters in containerID/ };
        const details = trial.refused(what, trial.call("ADD", { ...pod, id }), wanted)?.details;
        // Plain or escaped: a log line must not be broken by it.
        const named =
          typeof details === "string" && details.replaceAll("\n", "\\n").includes(id.replace("\n", "\\n"));
        trial.that(named, `${what}: details are ${details}, wanted the ID in them`);
      }
      for (const id of GOOD_IDS) {
        trial.silent(`DEL of ${id}`, trial.call("DEL", { ...pod, id }));
      }
    },
  },
  {
    rule: 9,
    title: "interface names the kernel would not take are refused",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      for (const [ifname, msg] of BAD_NAMES) {
        const done = trial.call("ADD", { ...pod, ifname });
        trial.refused(`ADD as ${JSON.stringify(ifname)}`, done, { code: 4, msg });
      }
      const longest = { ...pod, ifname: "fifteen-bytes.x" };
      trial.add(longest);
      trial.that(
        trial.node.link(longest.ifname, pod.netns) !== undefined,
        "no interface of 15 bytes was made",
      );
    },
  },
  {
    rule: 10,
    title: "network names: alphanumeric first, then also _ . -",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      const { name: _, ...nameless } = trial.conf();
      trial.refused("no name", trial.call("ADD", pod, nameless), { code: 7, msg: /missing network name/ });
      const empty = trial.call("ADD", pod, trial.conf({ name: "" }));
      trial.refused("empty name", empty, { code: 7, msg: /missing network name/ });
      for (const name of ["../x", "a/b", "-a", ".a", "a b", "ü"]) {
        const wanted = { code: 7, msg: /invalid characters found in network name/ };
        trial.refused(`name ${name}`, trial.call("ADD", pod, trial.conf({ name })), wanted);
      }
      trial.add(pod, trial.conf({ name: "0.net_A-1" }));
    },
  },
  {
    rule: 11,
    title: "ID and interface name are looked at before stdin, and only where they are needed",
    level: "MUST (library)",
    probe: (trial) => {
      const pod = trial.node.pod();
      const id = trial.call("ADD", { ...pod, id: "-a" }, "broken");
      trial.refused("bad ID, broken stdin", id, { code: 4, msg: /containerID/ });
      const name = trial.call("DEL", { ...pod, ifname: "a/b" }, "broken");
      trial.refused("bad interface name, broken stdin", name, { code: 4, msg: /interface name/ });
      const conf = trial.conf({ ...NEWEST, "cni.dev/valid-attachments": [] });
      const bad = { CNI_CONTAINERID: "-a", CNI_IFNAME: "a/b" };
      trial.silent("GC with a bad ID", trial.call("GC", null, conf, bad));
      trial.silent("STATUS with a bad ID", trial.call("STATUS", null, conf, bad));
      trial.added("VERSION with a bad ID", trial.call("VERSION", null, conf, bad));
    },
  },
];
