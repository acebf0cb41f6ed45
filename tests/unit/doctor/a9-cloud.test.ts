import { describe, expect, test } from "bun:test";
import { cloudCheck } from "../../../src/doctor/checks/a9-cloud.ts";
import type { Cloud } from "../../../src/doctor/sections/cloud.ts";
import { findingsOf, linesOf } from "./facts.ts";

const NO_DMI: Cloud["dmi"] = {
  sys_vendor: "",
  product_name: "",
  product_version: "",
  chassis_asset_tag: "",
  board_asset_tag: "",
};
const AWS = { sys_vendor: "Amazon EC2", product_name: "m6i.large", board_asset_tag: "i-0abc12de34f567890" };
const GOOGLE = { sys_vendor: "Google", product_name: "Google Compute Engine" };
const AZURE = {
  sys_vendor: "Microsoft Corporation",
  product_name: "Virtual Machine",
  chassis_asset_tag: "7783-7084-3265-9085-8269-3286-77",
};

const of = (dmi: Partial<Cloud["dmi"]>, change: Partial<Cloud> = {}) =>
  findingsOf(cloudCheck, {
    cloud: { dmi: { ...NO_DMI, ...dmi }, node: "n1", backend: "auto", direct: ["n2"], ...change },
  });

describe("A9, direct routes in a cloud", () => {
  test.each([
    [
      "AWS",
      AWS,
      /^aws ec2 modify-instance-attribute --instance-id i-0abc12de34f567890 --no-source-dest-check$/,
    ],
    ["AWS", { sys_vendor: "Xen", product_version: "4.11.amazon" }, /--instance-id <instance> /],
    ["Google Cloud", GOOGLE, /^gcloud compute instances export n1 --destination=/],
    ["Azure", AZURE, /MINICNI_BACKEND=vxlan$/],
    ["OpenStack", { product_name: "OpenStack Nova" }, /^openstack port set --allowed-address/],
  ])("%s %j", (name, dmi, fix) => {
    const [found] = of(dmi);
    expect(found?.level).toBe("warn");
    expect(found?.message).toBe(
      `${name}: peer n2 is reached by direct routes (backend auto), which this cloud may drop`,
    );
    expect(found?.fix[0]).toMatch(fix);
  });

  test("are counted where there are several", () => {
    expect(of(AWS, { direct: ["n2", "n3"] })[0]?.message).toContain("2 peers are reached");
  });

  test("evidence is what the firmware says", () => {
    expect(of(GOOGLE)[0]?.evidence).toEqual([
      "/sys/class/dmi/id/sys_vendor: Google",
      "/sys/class/dmi/id/product_name: Google Compute Engine",
    ]);
  });
});

describe("A9 has nothing to warn of", () => {
  test.each([
    [
      "a tunnel to every peer",
      AWS,
      { direct: [] },
      "PASS A9 AWS: no peer is reached by a direct route (backend auto)",
    ],
    ["a machine of one's own", { sys_vendor: "Dell Inc." }, {}, expect.stringMatching(/^PASS A9 no cloud/)],
    [
      "Hyper-V that is not Azure",
      { ...AZURE, chassis_asset_tag: "1234" },
      {},
      expect.stringMatching(/^PASS A9 no cloud/),
    ],
    ["a node without an agent", AWS, { backend: null, direct: [] }, expect.stringMatching(/^SKIP A9 .*AWS/)],
    ["a machine that says nothing", {}, {}, expect.stringMatching(/^SKIP A9 .*does not say whose it is/)],
  ])("%s", (_what, dmi, change: Partial<Cloud>, line) => {
    expect(linesOf(of(dmi, change))).toEqual([line]);
  });
});
