import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { destroySandboxes, NOTHING } from "../kernel/sandbox.ts";
import { BANDWIDTH, ChainLab, FIREWALL, MAC, MAPPING, PORTMAP, RATE, SBR, VERSIONS } from "./chain.ts";
import { stopServers } from "./traffic.ts";

setDefaultTimeout(30_000);

let lab: ChainLab;
beforeAll(async () => {
  lab = new ChainLab();
  await lab.begin();
});
afterAll(() => {
  stopServers();
  destroySandboxes();
});

describe.each(VERSIONS)("a list of version %s that begins with minicni", (cniVersion) => {
  const withFirewall = cniVersion !== "0.3.1"; // the reference plugin begins with 0.4.0

  test("portmap: the host port answers from outside, from another pod and from the node", async () => {
    await lab.roundTrip(lab.runtime(cniVersion, [lab.minicni, PORTMAP]), MAPPING, (pod) =>
      lab.expectHostPort(pod),
    );
  });

  test("portmap without mappings passes our result on", async () => {
    await lab.roundTrip(lab.runtime(cniVersion, [lab.minicni, PORTMAP]), {}, (pod, result) => {
      const names = result.interfaces.map(({ name }) => name.replace(/^mcni.*/, "mcni"));
      expect(names).toEqual(["br0", "mcni", "eth0"]);
      expect(result.ips).toHaveLength(2);
      lab.expectConnected(pod);
    });
  });

  test("bandwidth: finds our host-side veth and shapes both directions", async () => {
    await lab.roundTrip(lab.runtime(cniVersion, [lab.minicni, BANDWIDTH]), RATE, (pod, result) => {
      lab.expectShaping(result);
      lab.expectConnected(pod);
    });
  });

  test("tuning: sets sysctls and the MAC of our interface", async () => {
    await lab.roundTrip(lab.runtime(cniVersion, [lab.minicni, lab.tuning]), MAC, (pod, result) => {
      lab.expectTuning(pod, result);
      lab.expectConnected(pod);
    });
  });

  test("sbr: routes by the source addresses that we gave", async () => {
    await lab.roundTrip(lab.runtime(cniVersion, [lab.minicni, SBR]), {}, (pod, result) => {
      lab.expectSourceRouting(pod, result);
    });
  });

  // The firewall plugin begins with 0.4.0.
  if (withFirewall) {
    test("firewall: admits our addresses", async () => {
      await lab.roundTrip(lab.runtime(cniVersion, [lab.minicni, FIREWALL]), {}, (pod, result) => {
        lab.expectFirewall(result);
        lab.expectConnected(pod);
      });
    });
  }

  test("all of them in one list", async () => {
    const plugins = [lab.minicni, lab.tuning, BANDWIDTH, PORTMAP, ...(withFirewall ? [FIREWALL] : []), SBR];
    const args = { ...MAPPING, ...RATE, ...MAC };
    await lab.roundTrip(lab.runtime(cniVersion, plugins), args, async (pod, result) => {
      lab.expectShaping(result);
      lab.expectTuning(pod, result);
      lab.expectSourceRouting(pod, result);
      if (withFirewall) lab.expectFirewall(result);
      await lab.expectHostPort(pod);
    });
  });

  test("a later plugin's failure leaves nothing once the runtime has called DEL", () => {
    const list = lab.runtime(cniVersion, [
      lab.minicni,
      PORTMAP,
      { type: "tuning", sysctl: { "net.ipv4.no_such": "1" } },
    ]);
    const pod = lab.node.pod();
    const before = lab.world(pod);
    expect(() => list.add(pod, MAPPING)).toThrow('plugin type="tuning" failed (ADD)');
    expect(lab.node.links(pod.netns).map(({ ifname }) => ifname)).toContain("eth0");
    list.del(pod, MAPPING);
    expect(lab.world(pod)).toEqual(before);
  });
});

describe("after all these lists", () => {
  test("the bystander is as it was, and its DEL leaves nothing", () => {
    lab.end();
    expect(lab.node.leftovers()).toEqual(NOTHING);
    for (const tool of ["iptables-save", "ip6tables-save"])
      expect(lab.node.node(tool)).not.toMatch(/CNI-DN-|10\.7\.0\.2\b|fd00:7::2\b|--dport 808/);
    expect(lab.node.node("ip", "link", "show", "type", "ifb")).toBe("");
  });
});
