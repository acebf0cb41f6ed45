import { check } from "../check.ts";
import { pass, skip, type Verdict, warn } from "../finding.ts";
import type { ReversePath } from "../sections/reverse-path.ts";
import { type Decisive, dotted, formatSetting, overruleSetting, settingOf } from "../sysctl-settings.ts";

const STRICT = 1;
const WORDS = ["off", "strict", "loose"];
const ALL = "all";
const keyOf = (name: string) => `net/ipv4/conf/${name}/rp_filter`;

type Link = ReversePath["links"][number];

/**
 * A4: strict reverse-path filtering drops packets whose way back would be another link. What counts for a link is the larger
 * of its own value and that of `all` (Documentation/networking/ip-sysctl.rst), so that 2 on a link is loose whatever `all` says.
 * systemd's own files set 2 since version 245, those of older ones and of Red Hat 1, on links that are made later as well
 * (cilium#10645, #20125, kind#891).
 */
export const reversePathCheck = check("A4", "reverse-path filter", ["reversePath"], ({ reversePath }) => {
  const { settingsFault } = reversePath;
  const unseen =
    settingsFault === null
      ? []
      : [skip(`who sets rp_filter at the next boot: not looked at: ${settingsFault}`)];
  return [...judge(reversePath), ...unseen];
});

function judge(facts: ReversePath): Verdict[] {
  const { all, links, uplinks, isTended } = facts;
  const evidence = evidenceOf(facts);
  const effective = links.map((link) => ({ ...link, value: Math.max(all, link.value) }));
  const strict = effective.filter(({ value }) => value === STRICT);
  const tunnels = strict.filter(({ role }) => role === "tunnel");
  if (tunnels.length > 0) return [strictTunnel(facts, tunnels, evidence)];
  const shared = strict.filter(({ role }) => role === "uplink");
  if (shared.length > 0 && uplinks > 1) {
    return [
      warn({
        message: `strict reverse-path filtering on ${namesOf(shared)}, of a node with ${uplinks} uplinks`,
        evidence,
        cause: "what comes in by one uplink and would be answered by another is dropped without a word",
        fix: fixOf(facts, shared),
      }),
    ];
  }
  const boot = hardened(facts);
  const places = [...new Set(boot.map(({ setting }) => setting.place))].join(", ");
  if (boot.length > 0 && !isTended) {
    return [
      warn({
        message: `${places} makes reverse-path filtering strict on ${boot.map(({ name }) => name).join(", ")} again`,
        evidence,
        cause: `at the next boot and at each \`sysctl --system\`; then ${LOST}`,
        fix: boot.map(({ name, setting }) => overruleSetting(setting, keyOf(name), "2")),
      }),
    ];
  }
  const words = effective.map(({ name, value }) => `${name} ${wordOf(value)}`);
  const also = boot.length === 0 ? "" : `; ${places} makes the tunnel strict, which the agent takes back`;
  return [
    pass(
      `reverse-path filter: ${words.length === 0 ? `all ${wordOf(all)}` : words.join(", ")}${also}`,
      evidence,
    ),
  ];
}

const LOST =
  "packets that a peer sends through the tunnel from its node address are dropped without a word: the way back to it is the uplink";

function strictTunnel(facts: ReversePath, tunnels: readonly Link[], evidence: readonly string[]): Verdict {
  const { drops, isTended } = facts;
  const agent = isTended
    ? "; the agent sets 2 on it whenever it looks: something sets it back, or the agent may not write /proc/sys"
    : "; a running agent would set 2 on it";
  const counted = drops === null || drops === 0 ? "" : ` (so far ${drops}, on all links)`;
  return warn({
    message: `strict reverse-path filtering on ${namesOf(tunnels)}`,
    evidence,
    cause: `${LOST}${counted}${agent}`,
    fix: fixOf(facts, tunnels),
  });
}

const namesOf = (links: readonly Link[]) => links.map(({ name }) => name).join(", ");
const wordOf = (value: number) => WORDS[value] ?? `${value}`;

function evidenceOf({ all, links, drops, settings }: ReversePath): string[] {
  const names = [ALL, "default", ...links.map(({ name }) => name)];
  const lines = new Set(names.flatMap((name) => settingOf(settings, keyOf(name)) ?? []));
  return [
    `${dotted(keyOf(ALL))} = ${all}`,
    ...links.map(({ name, value }) => `${dotted(keyOf(name))} = ${value}`),
    ...(drops === null ? [] : [`dropped for it in this namespace: ${drops} (TcpExtIPReversePathFilter)`]),
    ...[...lines].map(formatSetting),
  ];
}

/** 2 on the link alone: it is larger than what `all` has, and leaves other links as strict as they were wanted. */
function fixOf({ settings }: ReversePath, links: readonly Link[]): string[] {
  return links.flatMap(({ name }) => {
    const setting = settingOf(settings, keyOf(name));
    return [
      `sysctl -w ${dotted(keyOf(name))}=2`,
      ...(setting === null || setting.value === "2" ? [] : [overruleSetting(setting, keyOf(name), "2")]),
    ];
  });
}

/** Tunnels that are not strict now, but will be when the files are read again: udev has them read for every new link. */
function hardened({ all, links, settings }: ReversePath): { name: string; setting: Decisive }[] {
  const allAtBoot = settingOf(settings, keyOf(ALL));
  return links.flatMap(({ name, role, value }) => {
    if (role !== "tunnel") return [];
    const own = settingOf(settings, keyOf(name));
    const then = Math.max(Number(allAtBoot?.value ?? all), Number(own?.value ?? value));
    const setting = own?.value === "1" ? own : allAtBoot;
    return then === STRICT && setting?.value === "1" ? [{ name, setting }] : [];
  });
}
