import { quoteWord } from "../../plan/format.ts";
import { check } from "../check.ts";
import { pass, skip, warn } from "../finding.ts";
import type { Cloud } from "../sections/cloud.ts";

/** What a provider's network does to packets with pods' addresses, and what to do about it. */
interface Provider {
  readonly name: string;
  readonly isIt: (dmi: Cloud["dmi"]) => boolean;
  /** Why such packets are dropped. */
  readonly cause: string;
  readonly fix: (cloud: Cloud) => readonly string[];
}

/** Without a tunnel no provider sees an address of a pod's. */
const TUNNEL = "# or send nothing without a tunnel: MINICNI_BACKEND=vxlan";
/** Every machine of Azure has it (cloud-init's DataSourceAzure), Hyper-V elsewhere has not. */
const AZURE_TAG = "7783-7084-3265-9085-8269-3286-77";

const PROVIDERS: readonly Provider[] = [
  {
    name: "AWS",
    isIt: (dmi) => dmi.sys_vendor === "Amazon EC2" || /amazon/i.test(dmi.product_version),
    cause:
      "EC2 drops packets whose source or destination is no address of the instance (source/destination check)",
    fix: ({ dmi }) => [
      `aws ec2 modify-instance-attribute --instance-id ${/^i-[0-9a-f]+$/.test(dmi.board_asset_tag) ? dmi.board_asset_tag : "<instance>"} --no-source-dest-check`,
      "# on every node; once it is off this warning says nothing more: the setting can't be seen from here",
      TUNNEL,
    ],
  },
  {
    name: "Google Cloud",
    isIt: (dmi) => dmi.sys_vendor === "Google" || dmi.product_name === "Google Compute Engine",
    cause:
      "Compute Engine drops packets from addresses that are not the instance's unless canIpForward is set, and needs a route for each pod CIDR",
    fix: ({ node }) => {
      const name = quoteWord(node ?? "<instance>");
      return [
        `gcloud compute instances export ${name} --destination=/tmp/instance.yaml`,
        "sed -i 's/^canIpForward: false/canIpForward: true/' /tmp/instance.yaml",
        `gcloud compute instances update-from-file ${name} --source=/tmp/instance.yaml --most-disruptive-allowed-action=RESTART`,
        TUNNEL,
      ];
    },
  },
  {
    name: "Azure",
    isIt: (dmi) => dmi.chassis_asset_tag === AZURE_TAG,
    cause:
      "Azure's network delivers to addresses that it gave out itself, and to no other by a route of ours",
    fix: () => ["kubectl -n kube-system set env daemonset/minicni MINICNI_BACKEND=vxlan"],
  },
  {
    name: "OpenStack",
    isIt: (dmi) => /^OpenStack/.test(dmi.product_name) || /^OpenStack/.test(dmi.sys_vendor),
    cause: "Neutron's port security drops packets from addresses that are not the port's",
    fix: () => [
      "openstack port set --allowed-address ip-address=<pod CIDR of the node> <port of the node>",
      TUNNEL,
    ],
  },
];

/** A9: a cloud's network knows the nodes' addresses, and often drops what has a pod's (antrea docs/noencap-hybrid-modes.md). */
export const cloudCheck = check("A9", "cloud", ["cloud"], ({ cloud }) => {
  const { dmi, backend, direct } = cloud;
  const evidence = Object.entries(dmi).flatMap(([name, text]) =>
    text === "" ? [] : [`/sys/class/dmi/id/${name}: ${text}`],
  );
  if (evidence.length === 0)
    return [skip("cloud: this machine does not say whose it is (/sys/class/dmi/id)")];
  const provider = PROVIDERS.find(({ isIt }) => isIt(dmi));
  if (provider === undefined)
    return [pass("no cloud that is known to drop packets with pods' addresses", evidence)];
  const { name, cause, fix } = provider;
  if (backend === null)
    return [
      skip(
        `cloud: this is ${name}, and no agent says how peers are reached: without a tunnel ${cause}: ${fix(cloud)[0]}`,
      ),
    ];
  if (direct.length === 0)
    return [pass(`${name}: no peer is reached by a direct route (backend ${backend})`, evidence)];
  const peers = direct.length === 1 ? `peer ${direct[0]} is` : `${direct.length} peers are`;
  return [
    warn({
      message: `${name}: ${peers} reached by direct routes (backend ${backend}), which this cloud may drop`,
      evidence,
      cause,
      fix: fix(cloud),
    }),
  ];
});
