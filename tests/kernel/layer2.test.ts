import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BRIDGE, destroySandboxes, must, NOTHING, Sandbox } from "./sandbox.ts";
import { errorOf } from "./views.ts";

setDefaultTimeout(20_000);
afterEach(destroySandboxes);
afterAll(destroySandboxes);

describe("an empty ipam dictionary", () => {
  test("gives links without addresses, which carry whatever the pods put on them", () => {
    const box = new Sandbox();
    const conf = box.conf({ ipam: {} });
    const pods = box.pods(2);
    const results = pods.map((pod) => box.add(pod, conf));
    for (const [index, pod] of pods.entries()) {
      expect(results[index]).not.toHaveProperty("ips");
      expect(box.link("eth0", pod.netns).flags).toContain("UP");
      expect(box.call("CHECK", pod, { ...conf, prevResult: results[index] }).stdout).toBe("");
      must("nsenter", `--net=${pod.netns}`, "ip", "addr", "add", `10.99.0.${index + 1}/24`, "dev", "eth0");
    }
    expect(box.link(BRIDGE).addr_info.filter(({ family }) => family === "inet")).toEqual([]);
    expect(box.pings(pods[0]?.netns ?? "", "10.99.0.2")).toBe(true);
    expect(box.call("STATUS", { id: "", netns: "", ifname: "" }, conf).stdout).toBe("");
    for (const pod of pods) expect(box.call("DEL", pod, conf).exitCode).toBe(0);
    expect(box.leftovers()).toEqual(NOTHING);
  });

  test("has no result before 0.3.0, and is refused there before anything is made", () => {
    const box = new Sandbox();
    const error = errorOf(box.call("ADD", box.pod(), box.conf({ ipam: {}, cniVersion: "0.2.0" })));
    expect(error).toMatchObject({ code: 7, msg: "cannot convert: no valid IP addresses" });
    expect(box.links().map(({ ifname }) => ifname)).toEqual(["lo"]);
    expect(box.leftovers()).toEqual(NOTHING);
  });
});
