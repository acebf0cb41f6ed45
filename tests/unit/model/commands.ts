import fc from "fast-check";
import type { Key } from "./facts.ts";

/** One thing that happens to a node; `pod` and `nth` are taken modulo what there is, so that they shrink well. */
export type Command =
  | { readonly do: "ADD" | "DEL"; readonly key: Key; readonly killAt: number | null }
  | { readonly do: "CHECK" | "damage"; readonly key: Key }
  | { readonly do: "GC"; readonly network: string; readonly list: GcList }
  | { readonly do: "STATUS"; readonly network: string }
  | { readonly do: "sandbox gone"; readonly containerId: string }
  | { readonly do: "reboot" | "records lost" };

/** Which attachments GC is told to be valid: the live ones, those but every second, none; or nobody says. */
export type GcList = "live" | "half" | "empty" | "null" | "absent";

/** A network and the interface names that its attachments may have. */
export interface Place {
  readonly network: string;
  readonly ifnames: readonly string[];
}

interface Wish {
  readonly places: readonly Place[];
  readonly containers: readonly string[];
  /** The most of `killAt`: effects that an ADD and a DEL can have before it is killed, or milliseconds. */
  readonly effects: { readonly ADD: number; readonly DEL: number };
  readonly maxCommands: number;
  readonly minCommands?: number;
  /** What can happen here besides calls. */
  readonly accidents: readonly ("reboot" | "records lost" | "damage")[];
}

/** Sequences of commands; ADD and DEL are the most frequent, a few of them killed. */
export function sequences(wish: Wish): fc.Arbitrary<Command[]> {
  const network = fc.constantFrom(...wish.places.map((place) => place.network));
  const containerId = fc.constantFrom(...wish.containers);
  const key = fc.record({ place: fc.constantFrom(...wish.places), containerId, nth: fc.nat(7) }).map(
    ({ place, containerId: id, nth }): Key => ({
      network: place.network,
      containerId: id,
      ifname: place.ifnames[nth % place.ifnames.length] ?? "eth0",
    }),
  );
  const call = (name: "ADD" | "DEL", killAt: fc.Arbitrary<number | null>) =>
    fc.record({ do: fc.constant(name), key, killAt });
  const never = fc.constant(null);
  const of = <T extends "CHECK" | "damage">(name: T) => fc.record({ do: fc.constant(name), key });
  const list = fc.constantFrom<GcList>("live", "half", "empty", "null", "absent");
  const accidents = wish.accidents.map((name) => ({
    weight: 1,
    arbitrary: name === "damage" ? of(name) : fc.record({ do: fc.constant(name) }),
  }));
  return fc.array(
    fc.oneof(
      { weight: 12, arbitrary: call("ADD", never) },
      { weight: 5, arbitrary: call("DEL", never) },
      { weight: 4, arbitrary: call("ADD", fc.nat(wish.effects.ADD)) },
      { weight: 2, arbitrary: call("DEL", fc.nat(wish.effects.DEL)) },
      { weight: 3, arbitrary: of("CHECK") },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("GC" as const), network, list }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("STATUS" as const), network }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("sandbox gone" as const), containerId }) },
      ...accidents,
    ),
    { minLength: wish.minCommands ?? 0, maxLength: wish.maxCommands, size: "max" },
  );
}
