import { type Finished, type Json, PATIENCE, type Pod } from "./node.ts";
import { SHAPES } from "./shapes.ts";
import { addressOf, type Case, few, type Trial } from "./trial.ts";

/** An ADD that runs beside others. */
async function start(trial: Trial, pod: Pod, conf: Json): Promise<Finished> {
  const child = Bun.spawn({
    cmd: trial.argv(),
    env: { PATH: process.env.PATH, ...trial.variables("ADD", pod) },
    stdin: new TextEncoder().encode(JSON.stringify(conf)),
    stdout: "pipe",
    stderr: "pipe",
    timeout: PATIENCE,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { exitCode: await child.exited, stdout, stderr };
}

/** What an earlier plugin of a list would have made. */
function earlier(cniVersion: string): Json {
  const version = cniVersion.startsWith("0.") ? { version: "4" } : {};
  return {
    cniVersion,
    interfaces: [{ name: "net7", mac: "02:00:00:00:00:07", sandbox: "/run/netns/other" }],
    ips: [{ ...version, address: "10.77.0.5/24", gateway: "10.77.0.1", interface: 0 }],
    routes: [{ dst: "10.78.0.0/16", gw: "10.77.0.1" }],
    dns: {},
  };
}

/** Rules 31–37: ADD. */
export const ADD: readonly Case[] = [
  {
    rule: 31,
    title: "CNI_IFNAME is created in CNI_NETNS, with what the result says",
    level: "SHOULD",
    probe: (trial) => {
      for (const ifname of ["eth0", "net1"]) {
        const pod = trial.node.pod(ifname);
        const result = trial.add(pod);
        const link = trial.node.link(ifname, pod.netns);
        const told = result.interfaces?.find(({ sandbox }) => sandbox === pod.netns);
        trial.equal("name in the result", told?.name, ifname);
        trial.equal("MAC", link?.address, told?.mac);
        trial.that(link?.flags.includes("UP") === true, `${ifname} is not up`);
        trial.equal("addresses", trial.node.addresses(pod.netns, ifname), [addressOf(result)]);
        const ours = result.interfaces?.[result.ips?.[0]?.interface ?? -1];
        trial.equal("interface the address belongs to", ours?.name, ifname);
        const routes = trial.node.inside(pod.netns, "ip", "route", "show", "default");
        trial.that(routes.includes("via 10.1.2.1"), `default route: ${routes}`);
        trial.node.inside(pod.netns, "ping", "-c", "1", "-W", "5", "-q", "10.1.2.1");
      }
    },
  },
  {
    rule: 32,
    title: "an interface of that name in the container is an error",
    level: "MUST",
    probe: (trial) => {
      const pod = trial.node.pod();
      const conf = trial.conf({}, few(1));
      trial.node.inside(pod.netns, "ip", "link", "add", "eth0", "type", "bridge");
      trial.refused("ADD", trial.call("ADD", pod, conf));
      const kind = trial.node.link("eth0", pod.netns)?.linkinfo?.info_kind;
      trial.equal("kind of eth0 afterwards", kind, "bridge");
      trial.free("after the refusal", 1, conf);
    },
  },
  {
    rule: 33,
    title: "prevResult is passed on, ours behind",
    level: "MUST",
    probe: (trial) => {
      for (const cniVersion of ["0.3.1", "1.0.0"]) {
        const pod = trial.node.pod();
        const result = trial.add(pod, trial.conf({ cniVersion, prevResult: earlier(cniVersion) }));
        const names = result.interfaces?.map(({ name }) => name) ?? [];
        trial.that(names[0] === "net7" && names.includes("eth0"), `${cniVersion}: interfaces ${names}`);
        const [first, second] = result.ips ?? [];
        trial.equal(`${cniVersion}: first address`, first?.address, "10.77.0.5/24");
        trial.equal(`${cniVersion}: its interface`, first?.interface, 0);
        trial.equal(`${cniVersion}: name of ours`, names[second?.interface ?? -1], "eth0");
        const kept = result.routes?.some(({ dst }) => dst === "10.78.0.0/16");
        trial.that(kept === true, `${cniVersion}: the earlier route is lost`);
      }
    },
  },
  {
    rule: 34,
    title: "a second ADD of the same attachment is an error and harms nothing",
    level: "SHOULD NOT (runtime)",
    probe: (trial) => {
      const pod = trial.node.pod();
      const conf = trial.conf({}, few(2));
      const prevResult = trial.add(pod, conf);
      trial.refused("second ADD", trial.call("ADD", pod, conf));
      const fresh = { ...trial.node.pod(), id: pod.id };
      trial.refused("second ADD, in another namespace", trial.call("ADD", fresh, conf));
      trial.silent("CHECK of the first", trial.call("CHECK", pod, { ...conf, prevResult }));
      trial.free("after the refusals", 1, conf);
    },
  },
  {
    rule: 35,
    title: "the result has the version of the input, and that version's shape",
    level: "MUST",
    probe: (trial) => {
      for (const shape of SHAPES) shape(trial);
    },
  },
  {
    rule: 36,
    title: "a failed ADD takes back its own work and calls DEL of the delegated plugin",
    level: "SHOULD",
    probe: (trial) => {
      const { ipam, conf } = trial.fake();
      const pod = trial.node.pod();
      const clean = (what: string) => {
        trial.equal(`${what}: veths of the node`, trial.node.veths(), []);
        trial.that(trial.node.link("eth0", pod.netns) === undefined, `${what}: eth0 is left`);
      };
      ipam.fail("ADD", 117, "no more");
      trial.refused("ADD", trial.call("ADD", pod, conf), { code: 117, msg: /no more/ });
      trial.equal("calls of a failing IPAM plugin", ipam.commands(), ["ADD", "DEL"]);
      clean("IPAM failed");
      const full = trial.conf({}, few(1));
      const other = trial.node.pod();
      trial.add(other, full);
      trial.refused("ADD of an exhausted range", trial.call("ADD", pod, full));
      trial.silent("DEL", trial.call("DEL", other, full));
      clean("range exhausted");
    },
  },
  {
    rule: 37,
    title: "concurrent ADDs get on with each other",
    level: "MUST",
    probe: async (trial) => {
      const containers = Array.from({ length: 6 }, () => trial.node.pod());
      // Two of them get a second interface at the same time.
      const pods = [...containers, ...containers.slice(0, 2).map((pod) => ({ ...pod, ifname: "net1" }))];
      const conf = trial.conf({}, { routes: [] });
      const done = await Promise.all(pods.map((pod) => start(trial, pod, conf)));
      const results = done.map((each, index) => trial.added(`ADD ${index}`, each));
      const addresses = new Set(results.flatMap((result) => (result === null ? [] : [addressOf(result)])));
      trial.equal("different addresses", addresses.size, pods.length);
      trial.equal("veths", trial.node.veths().length, pods.length);
      for (const pod of pods)
        trial.that(trial.node.link(pod.ifname, pod.netns) !== undefined, "an interface is missing");
      for (const pod of pods) trial.silent("DEL", trial.call("DEL", pod, conf));
      trial.equal("veths after DEL", trial.node.veths(), []);
    },
  },
];
