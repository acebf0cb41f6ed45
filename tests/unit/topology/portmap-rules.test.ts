import { describe, expect, test } from "bun:test";
import { portmapNftRules, portmapRules } from "../../../src/topology/portmap-rules.ts";

const JUMP = "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT";
const OURS = "-A PREROUTING -m addrtype --dst-type LOCAL -j MINICNI-HOSTPORTS";
const POD = `-N CNI-DN-1
-A CNI-DN-1 -s 10.22.0.0/16 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.22.0.9:80
-A CNI-DN-1 -d 192.0.2.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.22.0.9:53
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"n\\" id: \\"c\\"" -m multiport --dports 8080 -j CNI-DN-1`;

describe("rules of the portmap plugin in iptables", () => {
  test("are those that its chain leads to, with where they lead", () => {
    expect(portmapRules(`${JUMP}\n${OURS}\n${POD}\n`)).toEqual([
      {
        chain: "CNI-DN-1",
        protocol: "tcp",
        hostPort: 8080,
        hostIp: null,
        to: "10.22.0.9:80",
        rule: "-A CNI-DN-1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.22.0.9:80",
        isBefore: true,
      },
      expect.objectContaining({ protocol: "udp", hostPort: 53, hostIp: "192.0.2.1", isBefore: true }),
    ]);
  });

  test("come behind ours, or before where ours are not", () => {
    expect(portmapRules(`${OURS}\n${JUMP}\n${POD}`)[0]?.isBefore).toBe(false);
    expect(portmapRules(`${JUMP}\n${POD}`)[0]?.isBefore).toBe(true);
  });

  test("catch nothing where nothing leads to them", () => {
    expect(portmapRules(`${OURS}\n${POD}`)).toEqual([]);
    expect(portmapRules(`${JUMP}\n${POD.replace(/-A CNI-HOSTPORT-DNAT.*/, "")}`)).toEqual([]);
  });
});

test("rules of older versions in nftables", () => {
  const listed = `chain hostports {
  ip protocol tcp th dport 8080 dnat ip addr . port to 10.22.0.9 . 80 comment "c"
  ip6 nexthdr udp th dport 53 dnat ip6 addr . port to fd00::9 . 53 comment "c"`;
  const words = (family: 4 | 6) =>
    portmapNftRules(listed, family).map(({ protocol, hostPort, to }) => `${protocol} ${hostPort} ${to}`);
  expect(words(4)[0]).toBe("tcp 8080 10.22.0.9:80");
  expect(words(6)[1]).toBe("udp 53 [fd00::9]:53");
});

test("rules of the portmap plugin in nftables", () => {
  const listed = `table ip cni_hostport {
	chain hostports {
		tcp dport 8080 dnat to 10.22.0.9:80 comment "c"
	}
	chain hostip_hostports {
		ip daddr 192.0.2.1 udp dport 53 dnat to 10.22.0.9:53 comment "c"
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr != 127.0.0.0/8 jump hostip_hostports
		fib daddr type local jump hostports
	}
}`;
  expect(portmapNftRules(listed, 4)).toEqual([
    expect.objectContaining({
      chain: "hostports",
      protocol: "tcp",
      hostPort: 8080,
      hostIp: null,
      to: "10.22.0.9:80",
      isBefore: null,
    }),
    expect.objectContaining({
      chain: "hostip_hostports",
      protocol: "udp",
      hostPort: 53,
      hostIp: "192.0.2.1",
    }),
  ]);
});
