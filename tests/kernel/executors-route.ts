import type { RouteSpec, RouteType } from "../../src/plan/step.ts";
import { address, prefix } from "../twin/words.ts";
import type { Act, Case } from "./executors.ts";

type Words = Omit<Partial<RouteSpec>, "dst" | "via"> & { readonly via?: string };
type Verb = "append" | "replace" | "del";

/** A route in text; by v0 unless it is told. */
export function routeAct(verb: Verb, dst: string, { via, ...more }: Words = {}): Act {
  const gateway = via === undefined ? {} : { via: address(via) };
  return { op: `route.${verb}`, route: { dst: prefix(dst), dev: "v0", ...more, ...gateway } };
}

/** The same in both families, where the words are the family's. */
interface Way {
  readonly family: 4 | 6;
  readonly dst: string;
  readonly second: string;
  readonly third: string;
  readonly host: string;
  readonly any: string;
  readonly via: string;
  readonly other: string;
  readonly foreign: string;
}

const WAYS: readonly Way[] = [
  {
    family: 4,
    dst: "10.9.0.0/16",
    second: "10.10.0.0/16",
    third: "10.11.0.0/16",
    host: "10.9.0.7/32",
    any: "0.0.0.0/0",
    via: "10.0.0.9",
    other: "10.0.0.10",
    foreign: "192.0.2.1",
  },
  {
    family: 6,
    dst: "fd09::/64",
    second: "fd10::/64",
    third: "fd11::/64",
    host: "fd09::7/128",
    any: "::/0",
    via: "fd00::9",
    other: "fe80::9",
    foreign: "2001:db8::1",
  },
];

const TYPES: readonly RouteType[] = [
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
];
/** IPv4 takes no link for those that lead nowhere. */
const NOWHERE: ReadonlySet<RouteType> = new Set(["blackhole", "unreachable", "prohibit", "throw"]);

const OPTIONS: Readonly<Record<string, Words>> = {
  "on the link": {},
  "with a metric": { metric: 7 },
  "with the greatest metric": { metric: 2 ** 32 - 1 },
  "of table 100": { table: 100 },
  "of table 1000": { table: 1000 },
  "of table 255 and a metric": { table: 255, metric: 3 },
  "with an MTU": { mtu: 1400 },
  "with an advmss": { advmss: 1360 },
  "with MTU and advmss": { mtu: 1400, advmss: 1360 },
  "of scope global": { scope: "global" },
  "of scope link": { scope: "link" },
  "of scope host": { scope: "host" },
  "of our protocol": { protocol: 157 },
  "with all of it": { metric: 5, table: 1000, mtu: 1300, advmss: 1200, protocol: 157 },
};

function casesOf(way: Way): Case[] {
  const { family, dst, second, third, host, any, via, other, foreign } = way;
  const make = (name: string, ...acts: readonly Act[]): Case => ({
    name: `IPv${family}: ${name}`,
    acts: () => acts,
  });
  const append = (to: string, words?: Words) => routeAct("append", to, words);
  const replace = (to: string, words?: Words) => routeAct("replace", to, words);
  const del = (to: string, words?: Words) => routeAct("del", to, words);
  return [
    ...Object.entries(OPTIONS).map(([name, words]) =>
      make(
        `route ${name}, and others replaced and deleted`,
        append(dst, words),
        append(second, words),
        replace(second, { ...words, mtu: 1290 }),
        append(third, words),
        append(host),
        del(third, words),
      ),
    ),
    ...Object.entries(OPTIONS).flatMap(([name, { scope, ...words }]): Case[] =>
      scope === undefined || scope === "global"
        ? [make(`route via a gateway ${name}`, append(dst, { ...words, via }))]
        : [],
    ),
    make("to a host", append(host), append(host, { via, metric: 9 })),
    make("default via a gateway", append(any, { via })),
    make("default on the link", append(any)),
    make("default, replaced", replace(any, { via }), replace(any, { via: other, onlink: true })),
    make("default, deleted", append(any, { via }), append(dst), del(any, { via })),
    make("a gateway that is nowhere connected", append(dst, { via: foreign, onlink: true, protocol: 157 })),
    make(
      "two routes to the same place, in order",
      append(dst, { via }),
      append(dst, { via: other, onlink: true }),
    ),
    make(
      "one of two routes to the same place",
      append(dst, { via }),
      append(dst, { via: other, onlink: true }),
      del(dst, { via }),
    ),
    make("the first of two, named by nothing but its place", append(dst, { via }), del(dst)),
    make("by its protocol", append(dst, { via, protocol: 157 }), del(dst, { protocol: 157 })),
    make("without a link, by its gateway", append(dst, { via }), del(dst, { dev: "", via })),
    make("appended via a gateway without a link", append(dst, { dev: "", via })),
    make("replaced via a gateway without a link", replace(dst, { dev: "", via })),
    ...TYPES.flatMap((type): Case[] => {
      const dev = NOWHERE.has(type) ? "" : "v0";
      const words = { type, dev };
      return [
        make(
          `${type} route, and others with more, replaced and deleted`,
          append(dst, words),
          append(second, { ...words, metric: 9, protocol: 157 }),
          append(second, { ...words, table: 100 }),
          append(third),
          replace(third, { ...words, protocol: 157 }),
        ),
        make(
          `${type} route, deleted`,
          append(dst, words),
          append(host),
          del(dst, words),
          append(second, { ...words, metric: 9, protocol: 157 }),
          append(third, words),
          del(second, { ...words, metric: 9, protocol: 157 }),
        ),
      ];
    }),
  ];
}

export const ROUTE_CASES: readonly Case[] = [
  ...WAYS.flatMap(casesOf),
  {
    name: "IPv4, whose link-local destination has a scope",
    acts: () => [routeAct("append", "169.254.1.1/32", { scope: "link" })],
  },
];
