import { formatKey, type Key, type Observed, type Outcome, type Shape } from "./facts.ts";

/** `live`: its ADD succeeded. `unsure`: a call of it was killed, so that it may have anything or nothing. */
interface Held {
  readonly key: Key;
  readonly phase: "live" | "unsure";
  readonly addresses: readonly string[];
  readonly isRecorded: boolean;
  /** Its sandbox, and so its links, are there. */
  readonly isWired: boolean;
  /** Nobody changed it behind the plugin's back. */
  readonly isWhole: boolean;
}

function demand(isTrue: boolean, text: string): asserts isTrue {
  if (!isTrue) throw new Error(`the model says: ${text}`);
}

/** What must hold of a node's attachments, whatever calls, crashes and accidents come. Every method throws if not. */
export class Model {
  readonly #held = new Map<string, Held>();
  /** Networks that may have reservations from before a reboot. */
  readonly #stale = new Set<string>();
  /** Networks that lost the file that tells of their rules: only GC looks for those. */
  readonly #ruled = new Set<string>();
  /** Links that tell of nobody: their ADD was killed before they were named, and its record lost. Only DEL finds them. */
  readonly #nameless = new Set<string>();
  constructor(readonly shapes: readonly Shape[]) {}

  #shape(network: string): Shape {
    const shape = this.shapes.find(({ name }) => name === network);
    demand(shape !== undefined, `there is no network ${network}`);
    return shape;
  }

  #all(network: string): Held[] {
    return [...this.#held.values()].filter(({ key }) => key.network === network);
  }

  #set(key: Key, known: Partial<Held>): void {
    const held = this.#held.get(formatKey(key));
    const fresh = {
      key,
      phase: "live",
      addresses: [],
      isRecorded: true,
      isWired: true,
      isWhole: true,
    } as const;
    this.#held.set(formatKey(key), { ...(held ?? fresh), ...known });
  }

  /** Keys of attachments whose ADD succeeded and that nobody took away; `isRecorded`: those whose record was not lost. */
  live(network: string, isRecorded = false): Key[] {
    const live = this.#all(network).filter(
      (held) => held.phase === "live" && (held.isRecorded || !isRecorded),
    );
    return live.map(({ key }) => key);
  }

  /** Whether it may have anything. */
  isKnown(key: Key): boolean {
    return this.#held.has(formatKey(key));
  }

  /**
   * Neither record nor link tells of it, but it may hold addresses. Only DEL finds those, by reading every
   * reservation; that a runtime calls ADD instead is no part of this model.
   */
  isForgotten(key: Key): boolean {
    const held = this.#held.get(formatKey(key));
    if (this.#nameless.has(formatKey(key))) return true;
    return held !== undefined && !held.isRecorded && (!held.isWired || held.phase === "unsure");
  }

  /** The fewest and the most addresses that may be free in the fullest set. */
  #room(network: string, own?: Key): { least: number; most: number } {
    const others = this.#all(network).filter(
      ({ key }) => own === undefined || formatKey(key) !== formatKey(own),
    );
    const unsure = others.filter(({ phase }) => phase === "unsure").length;
    const live = others.filter(({ phase }) => phase === "live").flatMap(({ addresses }) => addresses);
    const free = this.#shape(network).sets.map((set) => set.filter((it) => !live.includes(it)).length);
    return { least: Math.min(...free) - unsure, most: Math.min(...free) };
  }

  add(key: Key, outcome: Outcome): void {
    const name = formatKey(key);
    const held = this.#held.get(name);
    if (outcome.ok) {
      demand(held?.phase !== "live", `a second ADD of ${name} is refused`);
      this.#checkGiven(key, outcome.addresses);
      this.#held.delete(name);
      this.#set(key, { addresses: outcome.addresses });
    } else {
      const isFull = this.#room(key.network, key).least <= 0;
      const codes = [
        ...(isFull && held?.phase !== "live" ? [11] : []),
        ...(held?.phase === "unsure" ? [4, 7] : []),
        ...(held?.phase === "live" ? [held.isRecorded ? 7 : 4] : []),
      ];
      demand(codes.includes(outcome.code), `ADD of ${name} may say ${codes}, it said ${outcome.code}`);
      if (outcome.code === 11) this.#held.delete(name);
      if (outcome.code !== 11) return;
    }
    this.#stale.delete(key.network);
  }

  #checkGiven(key: Key, addresses: readonly string[]): void {
    const { sets } = this.#shape(key.network);
    demand(
      addresses.length === sets.length,
      `${formatKey(key)} gets ${sets.length} addresses, not ${addresses}`,
    );
    for (const [index, address] of addresses.entries()) {
      demand(sets[index]?.includes(address) === true, `${address} is no address of set ${index} to be given`);
      const other = this.#all(key.network).find(
        (it) => it.phase === "live" && it.addresses.includes(address),
      );
      demand(other === undefined, `${address} belongs to ${other && formatKey(other.key)}`);
    }
  }

  /** SIGKILL came during an ADD or DEL. */
  killed(command: "ADD" | "DEL", key: Key): void {
    const held = this.#held.get(formatKey(key));
    // Nothing happens to an attachment that is complete but that its ADD is refused.
    if (command === "ADD" && held?.phase === "live") return;
    if (command === "DEL" && held === undefined) return;
    this.#set(key, { phase: "unsure" });
  }

  del(key: Key, outcome: Outcome): void {
    demand(outcome.ok, `DEL of ${formatKey(key)} succeeds, ${JSON.stringify(outcome)}`);
    this.#nameless.delete(formatKey(key));
    this.#held.delete(formatKey(key));
  }

  check(key: Key, outcome: Outcome): void {
    const held = this.#held.get(formatKey(key));
    if (held?.phase === "unsure") return;
    const isFine = held?.isWired === true && held.isWhole;
    demand(outcome.ok === isFine, `CHECK of ${formatKey(key)} ${isFine ? "passes" : "fails"}`);
  }

  /** `valid` null: nobody said what is valid. */
  gc(network: string, valid: readonly Key[] | null, outcome: Outcome, after: Observed): void {
    demand(outcome.ok, `GC of ${network} succeeds, ${JSON.stringify(outcome)}`);
    for (const { key, phase, isRecorded, isWired } of this.#all(network)) {
      // An ifb tells whose it is, and stays when the sandbox goes.
      const isTold = isRecorded || this.#shape(network).isLimited === true;
      const isDead = phase === "live" && isTold && !isWired;
      const isListed = valid?.some((it) => formatKey(it) === formatKey(key)) ?? !isDead;
      if (isListed) continue;
      this.#held.delete(formatKey(key));
      if (phase === "unsure" && !isRecorded) this.#nameless.add(formatKey(key));
    }
    this.#stale.delete(network);
    // While an attachment is left, its rules stay, and nothing tells of them still.
    if (this.#all(network).length === 0) this.#ruled.delete(network);
    if (valid !== null) return;
    for (const { key, isComplete } of after.records.filter((it) => it.key.network === network)) {
      const isLinked = after.links.some((link) => formatKey(link) === formatKey(key));
      demand(isComplete && isLinked, `GC without a list removes ${formatKey(key)}, which is dead`);
    }
  }

  status(network: string, outcome: Outcome): void {
    const { least, most } = this.#room(network);
    if (outcome.ok) {
      demand(most > 0, `STATUS of ${network} says 50 since it is full`);
      return;
    }
    const isHalf = this.#all(network).some(({ phase }) => phase === "unsure");
    const isTrue = outcome.code === 50 ? least <= 0 : outcome.code === 51 && isHalf;
    demand(isTrue, `STATUS of ${network} passes, it said ${outcome.code}`);
  }

  /** All attachments go; reservations stay until somebody needs an address. */
  reboot(): void {
    for (const { key } of this.#held.values()) this.#stale.add(key.network);
    this.#held.clear();
    this.#nameless.clear();
    this.#ruled.clear();
  }

  /** Somebody removed all records. */
  wipe(): void {
    for (const held of [...this.#held.values()]) this.#set(held.key, { isRecorded: false });
    for (const { name } of this.shapes) this.#ruled.add(name);
  }

  /** A sandbox went, and all links into it. */
  sandboxGone(containerId: string): void {
    for (const { key } of [...this.#held.values()]) {
      if (key.containerId === containerId) this.#set(key, { isWired: false });
    }
  }

  /** Somebody changed an attachment; false when there is nothing to change. */
  damage(key: Key): boolean {
    const held = this.#held.get(formatKey(key));
    if (held?.phase !== "live" || !held.isWired) return false;
    this.#set(key, { isWhole: false });
    return true;
  }

  /** What must be there, and what must not, after every call. */
  examine({ reservations, links, ifbs, records, halfRecords, rules }: Observed): void {
    for (const { address, owner } of reservations) {
      const held = this.#held.get(formatKey(owner));
      const isOwned = held?.phase === "unsure" || held?.addresses.includes(address) === true;
      demand(isOwned || this.#stale.has(owner.network), `${address} of ${formatKey(owner)} is free`);
    }
    const known = (key: Key, what: string) =>
      demand(this.#held.has(formatKey(key)), `there is no ${what} of ${formatKey(key)}`);
    for (const key of [...links, ...(ifbs ?? [])])
      if (!this.#nameless.has(formatKey(key))) known(key, "link");
    for (const { key } of records) known(key, "record");
    for (const key of halfRecords) known(key, "half a record");
    for (const { key, phase, addresses, isWired, isRecorded } of this.#held.values()) {
      if (phase !== "live") continue;
      const name = formatKey(key);
      const own = reservations.filter(({ owner }) => formatKey(owner) === name).map(({ address }) => address);
      for (const it of addresses) demand(own.includes(it), `${it} stays reserved for ${name}`);
      if (isWired)
        demand(
          links.some((link) => formatKey(link) === name),
          `${name} has its link`,
        );
      const isLimited = ifbs !== undefined && this.#shape(key.network).isLimited === true;
      const hasIfb = ifbs?.some((ifb) => formatKey(ifb) === name) === true;
      if (isWired && isLimited) demand(hasIfb, `${name} has its ifb`);
      const record = records.find((it) => formatKey(it.key) === name);
      if (isRecorded) demand(record?.isComplete === true, `${name} has its record`);
    }
    for (const network of rules) {
      const isNameless = [...this.#nameless].some((key) => key.startsWith(`${network} `));
      const isUsed = isNameless || this.#ruled.has(network) || this.#all(network).length > 0;
      demand(isUsed, `network ${network} has no rule`);
    }
  }
}
