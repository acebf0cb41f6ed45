import { describe, expect, test } from "bun:test";
import { describeRouteInTheWay, describeRouteOwner } from "../../../src/plan/route-owner.ts";
import { route } from "../../twin/routes.ts";

describe("describeRouteOwner", () => {
  test.each([
    [80, "eth0", "Calico's"],
    [17, "eth0", "kube-router's"],
    [186, "eth0", "BGP's (BIRD or FRR)"],
    [4, "eth0", "static: added by an administrator or a network manager"],
    [3, "eth0", "added by hand, or by an agent without a protocol of its own"],
    [3, "flannel.1", "flannel's"],
    [3, "flannel-v6.1", "flannel's"],
    [3, "cali1234567890a", "Calico's"],
    [3, "cilium_host", "Cilium's"],
    [80, "cilium_host", "Calico's"],
    [201, "ovn-k8s-mp0", "OVN-Kubernetes'"],
    [2, "eth0", "the kernel's own"],
    [2, "docker0", "the kernel's own, for an address of a link that is Docker's"],
    [201, "eth0", "of an unknown owner"],
    [4, "", "static: added by an administrator or a network manager"],
  ])("protocol %d by %p: %s", (protocol, dev, owner) => {
    expect(describeRouteOwner(protocol, dev)).toBe(owner);
  });
});

describe("describeRouteInTheWay", () => {
  const foreign = route("10.244.2.0/24", "192.168.0.9", { protocol: 80 });

  test("says which, whose, and the command that removes exactly this one", () => {
    expect(describeRouteInTheWay({ ...foreign, metric: 100, isOnlink: true }, "eth0")).toBe(
      "10.244.2.0/24: a route of protocol 80 by eth0 is in the way (Calico's); " +
        "remove it: ip route del 10.244.2.0/24 via 192.168.0.9 dev eth0 proto 80 metric 100",
    );
  });

  test("names the type where there is no link", () => {
    expect(describeRouteInTheWay({ ...foreign, via: null, ifindex: 0, type: 6, protocol: 4 }, "")).toBe(
      "10.244.2.0/24: a route of protocol 4 by blackhole is in the way " +
        "(static: added by an administrator or a network manager); " +
        "remove it: ip route del blackhole 10.244.2.0/24 proto 4",
    );
  });

  test("sends to the address what the kernel would make again", () => {
    expect(describeRouteInTheWay(route("10.244.2.0/24", null, { protocol: 2 }), "cni0")).toBe(
      "10.244.2.0/24: a route of protocol 2 by cni0 is in the way " +
        "(the kernel's own, for an address of a link that is of a bridge plugin or flannel); " +
        "remove the address it comes from: ip address show dev cni0",
    );
  });

  test("quotes a name that a shell would take for more", () => {
    expect(describeRouteInTheWay(foreign, "a;b")).toEndWith("dev 'a;b' proto 80");
  });

  test("says so when the link is gone", () => {
    expect(describeRouteInTheWay(foreign, "")).toContain(
      "a route of protocol 80 by an unknown link is in the way",
    );
  });
});
