import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { AgentNode, destroyNodes, N1, N2, N3, v4 } from "./agent.ts";
import { DoctorNode } from "./doctor.ts";
import { between, known, makePair } from "./doctor-network.ts";

setDefaultTimeout(60_000);
afterAll(destroyNodes);

describe("B2, the way to peers", () => {
  test("a peer that answers is no finding, in both families, with probes and without", () => {
    const { here, doctor } = makePair([4, 6], N1, N2);
    for (const more of [[], ["--no-probe"]]) {
      expect(doctor.lines("B2", ...known(here), ...more)).toEqual([
        "PASS B2 2 addresses of 1 peer by 2 next hops on eth0, none known dead",
      ]);
    }
    expect(here.ip("neigh", "show", "10.9.0.2")).toMatch(/lladdr .* (REACHABLE|DELAY|STALE)/);
  });

  test("a machine that nobody answers for, and a gateway", () => {
    const node = new AgentNode([4]);
    node.nodes(v4(N1), v4(N2), v4(N3));
    const doctor = new DoctorNode(node.box);
    const found = doctor.findings("B2", ...known(node));
    expect(found).toMatchObject([
      {
        level: "warn",
        message: "gateway 10.9.0.254 on eth0 does not answer; behind it: n3 (10.8.0.3)",
        evidence: [
          expect.stringMatching(/^10\.9\.0\.254 dev eth0 (FAILED|INCOMPLETE)$/),
          "n3 10.8.0.3 via 10.9.0.254 dev eth0",
        ],
        fix: ["arping -c 3 -I eth0 10.9.0.254", "ip route show via 10.9.0.254"],
      },
      {
        level: "warn",
        message: "nobody answers for n2 (10.9.0.2) on eth0",
        evidence: [expect.stringMatching(/^10\.9\.0\.2 dev eth0 (FAILED|INCOMPLETE)$/)],
      },
    ]);
  });

  test("an entry that failed while the peer was away is looked at again", () => {
    const { here, there, doctor } = makePair([4], v4(N1), v4(N2));
    between(here, "link", "set", "port2", "down");
    expect(doctor.findings("B2", ...known(here))[0]?.level).toBe("fail");
    between(here, "link", "set", "port2", "up");
    there.ip("link", "set", "eth0", "up");
    expect(doctor.lines("B2", ...known(here))).toEqual([
      "PASS B2 1 address of 1 peer by 1 next hop on eth0, none known dead",
    ]);
  });

  test("an address without a way", () => {
    const { here, doctor } = makePair([4], v4(N1), v4(N2), v4(N3));
    here.ip("route", "add", "unreachable", "10.8.0.0/24");
    expect(doctor.findings("B2", ...known(here))).toMatchObject([
      {
        level: "warn",
        message: "this node has no route to n3 (10.8.0.3)",
        evidence: ["ip route get 10.8.0.3: unreachable (n3 10.8.0.3)"],
      },
    ]);
  });

  test("a way into the tunnel itself", () => {
    const { here, doctor } = makePair([4], v4(N1), v4(N2));
    here.ip("link", "add", "minicni0", "up", "type", "bridge");
    here.ip("route", "add", "10.9.0.2/32", "dev", "minicni0");
    expect(doctor.lines("B2", ...known(here))).toContain(
      "FAIL B2 the way to n2 (10.9.0.2) leads into minicni0, which is for pods",
    );
  });
});
