import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { Forwarding } from "../sections/forwarding.ts";
import { dotted, formatSetting, lastOf, overruleSetting, settingOf } from "../sysctl-settings.ts";

const FAMILIES = [4, 6] as const;
/** Each is one switch to the kernel: the one that is written last counts (devinet_sysctl_forward of net/ipv4/devinet.c). */
const KEYS = {
  4: ["net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding"],
  6: ["net/ipv6/conf/all/forwarding"],
} as const;
const NEW_LINKS = "net/ipv4/conf/default/forwarding";

/**
 * A3: a node that does not forward cuts off its pods; with IPv6 forwarding on, a link with accept_ra=1 ignores router
 * advertisements, and the node loses its default route (k3s#5019).
 */
export const forwardingCheck = check("A3", "forwarding", ["forwarding"], ({ forwarding }) => {
  const found = [
    ...FAMILIES.flatMap((family) => judgeFamily(forwarding, family)),
    ...judgeLinks(forwarding),
    ...judgeAdvertised(forwarding),
  ];
  const unseen =
    forwarding.settingsFault === null
      ? []
      : [skip(`who sets forwarding at the next boot: not looked at: ${forwarding.settingsFault}`)];
  if (found.length > 0) return [...found, ...unseen];
  const states = FAMILIES.map((family) => `IPv${family} ${stateOf(forwarding, family)}`);
  return [pass(`forwarding: ${states.join(", ")}`, evidenceOf(forwarding)), ...unseen];
});

const isOn = ({ ipv4, ipv6 }: Forwarding, family: 4 | 6) => (family === 4 ? ipv4 : ipv6);

function stateOf(facts: Forwarding, family: 4 | 6): string {
  const state = isOn(facts, family);
  return state === null ? "not in this kernel" : state ? "on" : "off";
}

function evidenceOf(facts: Forwarding): string[] {
  return FAMILIES.flatMap((family) => {
    const state = isOn(facts, family);
    const boot = lastOf(facts.settings, KEYS[family]);
    return state === null
      ? []
      : [line(KEYS[family][0], Number(state)), ...(boot === null ? [] : [formatSetting(boot)])];
  });
}

const line = (key: string, value: number | null) => `${dotted(key)} = ${value}`;

function judgeFamily(facts: Forwarding, family: 4 | 6): Verdict[] {
  const state = isOn(facts, family);
  // An agent turns on what its pods need; before there are any, off is how most machines are.
  if (!facts.podFamilies.includes(family)) return [];
  if (state === null) {
    return [
      fail({
        message: `pods have IPv${family} addresses, and this kernel runs without IPv${family}`,
        cause:
          "the node's pod CIDRs are of both families, or of the wrong one, and links of this node take none of it",
        fix: [`# boot without ipv6.disable=1, or give this cluster no IPv${family} pod CIDRs`],
      }),
    ];
  }
  const [key] = KEYS[family];
  const boot = lastOf(facts.settings, KEYS[family]);
  const undoing = boot?.value === "0" ? boot : null;
  const evidence = [line(key, Number(state)), ...(undoing === null ? [] : [formatSetting(undoing)])];
  const lasting = undoing === null ? [] : [overruleSetting(undoing, undoing.key, "1")];
  if (state) {
    if (undoing === null) return [];
    return [
      warn({
        message: `IPv${family} forwarding is on, and ${undoing.place} turns it off again`,
        evidence,
        cause:
          "at the next boot, or at the next `sysctl --system`, pods reach nobody outside of this node until the agent puts it back",
        fix: lasting,
      }),
    ];
  }
  return [
    fail({
      message: `IPv${family} forwarding is off`,
      evidence,
      cause:
        undoing === null
          ? "pods reach nobody outside of this node; a running agent turns it on, so that something has turned it off since"
          : `${undoing.place} turns it off: pods reach nobody outside of this node`,
      fix: [`sysctl -w ${dotted(key)}=1`, ...lasting],
    }),
  ];
}

function judgeLinks({ off, newLinks, ipv4, podFamilies, settings }: Forwarding): Verdict[] {
  if (ipv4 !== true || !podFamilies.includes(4)) return [];
  const keyOf = (link: string) => `net/ipv4/conf/${link}/forwarding`;
  const culprits = (keys: readonly string[]) => [
    ...new Set(
      keys.flatMap((key) => {
        const boot = settingOf(settings, key);
        return boot?.value === "0" ? [boot] : [];
      }),
    ),
  ];
  const found: Verdict[] = [];
  if (off.length > 0) {
    const keys = off.map(keyOf);
    // Links that are made later begin as `default` says.
    const boot = culprits([...keys, NEW_LINKS]);
    found.push(
      fail({
        message: `IPv4 forwarding is off on ${off.join(", ")}`,
        evidence: [...keys.map((key) => line(key, 0)), ...boot.map(formatSetting)],
        cause: "what comes in by such a link goes no further, whatever net.ipv4.ip_forward says",
        fix: [
          ...keys.map((key) => `sysctl -w ${dotted(key)}=1`),
          ...boot.map((setting) => overruleSetting(setting, setting.key, "1")),
        ],
      }),
    );
  }
  if (newLinks === false) {
    const boot = culprits([NEW_LINKS]);
    found.push(
      warn({
        message: "IPv4 forwarding is on, but off for links that are made from now on",
        evidence: [line(NEW_LINKS, 0), ...boot.map(formatSetting)],
        cause: `a bridge of pods, or a tunnel, that is made anew forwards nothing${boot[0] === undefined ? "" : `; ${boot[0].place} says so`}`,
        fix: [
          `sysctl -w ${dotted(NEW_LINKS)}=1`,
          ...boot.map((setting) => overruleSetting(setting, setting.key, "1")),
        ],
      }),
    );
  }
  return found;
}

/** Where forwarding is off yet, an agent sets accept_ra=2 before it turns it on. */
function judgeAdvertised(facts: Forwarding): Verdict[] {
  const { advertised, hasOtherDefault, podFamilies, settings } = facts;
  const deaf = advertised.filter(({ acceptRa, isRouter }) => isRouter && acceptRa !== null && acceptRa < 2);
  return deaf.flatMap(({ link, acceptRa, hasDefault }) => {
    // With 0 it was told not to listen: something else does (networkd, NetworkManager), or the default route is another one.
    if (hasOtherDefault || (acceptRa === 0 && hasDefault)) return [];
    const [key, forwarding] = [`net/ipv6/conf/${link}/accept_ra`, `net/ipv6/conf/${link}/forwarding`];
    const boot = settingOf(settings, key);
    const undoing = boot !== null && Number(boot.value) < 2 ? boot : null;
    return [
      (hasDefault || !podFamilies.includes(6) ? warn : fail)({
        message: hasDefault
          ? `the default route of IPv6 by ${link} came by router advertisement, and will not be renewed`
          : `${link} ignores router advertisements: its default route of IPv6 is gone, its addresses will go`,
        evidence: [
          line(key, acceptRa),
          line(forwarding, 1),
          ...(undoing === null ? [] : [formatSetting(undoing)]),
        ],
        cause: `on a link that forwards, the kernel drops routes by advertisement and ignores new ones unless accept_ra is 2 (k3s#5019)${undoing === null ? "" : `; ${undoing.place} sets ${undoing.value}`}`,
        fix: [
          `sysctl -w ${dotted(key)}=2`,
          undoing === null
            ? `echo '${dotted(key)} = 2' >> /etc/sysctl.d/99-zz-minicni.conf`
            : overruleSetting(undoing, key, "2"),
          "# the route comes back with the router's next advertisement",
        ],
      }),
    ];
  });
}
