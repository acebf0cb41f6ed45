/** One thing said with an event; undefined is left out. */
export type FieldValue = string | number | boolean | null | undefined;
export type Fields = Readonly<Record<string, FieldValue>>;

/** The agent's log. No function of it ever throws. */
export interface Journal {
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  /**
   * What holds about `key` right now, said again on every pass: a fault in words, or null. Told once when the fault
   * comes or its words change (a warning), and once when it clears. One that flaps is told at most five times a
   * minute; how often it was not told then stands in `untold`, and where it comes to rest is always told.
   */
  state(key: string, fault: string | null, fields?: Fields): void;
}

export interface JournalOptions {
  readonly format: "text" | "json";
  /** Gets one line with its newline; may throw (EPIPE, ENOSPC), which loses the line. */
  readonly sink: (line: string) => void;
  /** Wall clock. */
  readonly now: () => Date;
  /** Monotonic clock in milliseconds: the wall clock may jump. */
  readonly elapsed: () => number;
}

type Level = "info" | "warn";

const WINDOW_MS = 60_000;
const STATES_A_WINDOW = 5;
/** An event of one name: enough for every peer of a small cluster at once, too few to fill a disk. */
const EVENTS_A_WINDOW = 100;
/** Longer texts are cut: one odd Node must not fill the log. */
const LONGEST_VALUE = 2_000;
/** Keys with peers' names in them come and go; those at rest are forgotten beyond this many. */
const MANY_KEYS = 1_000;

/** How much has been told of one event or key in the running window. */
interface Budget {
  startMs: number;
  told: number;
  untold: number;
}

interface KeyState {
  /** What a reader believes; null: that all is well. */
  told: string | null;
  /** What was said last, told or not. */
  last: string | null;
  readonly budget: Budget;
}

/** A journal that writes each event as one line: logfmt-like text, or one JSON object. */
export function createJournal(options: JournalOptions): Journal {
  const { elapsed } = options;
  const events = new Map<string, Budget>();
  const keys = new Map<string, KeyState>();

  const newBudget = (): Budget => ({ startMs: elapsed(), told: 0, untold: 0 });
  /** Whether one more may be told now. */
  const mayTell = (budget: Budget, limit: number) => {
    if (elapsed() - budget.startMs >= WINDOW_MS) {
      budget.startMs = elapsed();
      budget.told = 0;
    }
    return budget.told < limit;
  };
  const tell = (budget: Budget, level: Level, event: string, fields: Fields) => {
    const untold = budget.untold === 0 ? undefined : budget.untold;
    budget.told++;
    budget.untold = 0;
    write(options, level, event, { ...fields, untold });
  };
  const event = (level: Level, name: string, fields: Fields = {}) => {
    const budget = entryOf(events, `${level} ${name}`, newBudget);
    if (mayTell(budget, EVENTS_A_WINDOW)) tell(budget, level, name, fields);
    else budget.untold++;
  };

  return {
    info: (name, fields) => event("info", name, fields),
    warn: (name, fields) => event("warn", name, fields),
    state: (key, fault, fields = {}) => {
      if (fault === null && !keys.has(key)) return;
      const known = entryOf(keys, key, () => ({ told: null, last: null, budget: newBudget() }));
      const isChange = fault !== known.last;
      known.last = fault;
      if (fault === known.told || !mayTell(known.budget, STATES_A_WINDOW)) {
        if (isChange) known.budget.untold++;
        return forgetAtRest(keys, elapsed());
      }
      // A change that had to wait is told after all.
      if (!isChange) known.budget.untold--;
      const was = known.told;
      known.told = fault;
      if (fault === null) tell(known.budget, "info", key, { ...fields, cleared: true, was });
      else tell(known.budget, "warn", key, { fault, ...fields });
    },
  };
}

function entryOf<T>(map: Map<string, T>, key: string, make: () => T): T {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}

function forgetAtRest(keys: Map<string, KeyState>, nowMs: number): void {
  if (keys.size <= MANY_KEYS) return;
  for (const [key, { told, last, budget }] of keys) {
    if (told === null && last === null && nowMs - budget.startMs >= WINDOW_MS) keys.delete(key);
  }
}

function write(options: JournalOptions, level: Level, event: string, fields: Fields): void {
  try {
    const time = options.now().toISOString();
    const line = options.format === "json" ? formatJson : formatText;
    options.sink(`${line(time, level, event, fields)}\n`);
  } catch {
    // Nobody reads it, or the disk is full: no reason to fail in what is being told.
  }
}

/** `2026-11-24T15:00:00.123Z info resync changed=3 cause="link up"`. */
function formatText(time: string, level: Level, event: string, fields: Fields): string {
  const words = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${formatValue(value)}`],
  );
  return [time, level, formatValue(event), ...words].join(" ");
}

function formatJson(time: string, level: Level, event: string, fields: Fields): string {
  const cut = Object.entries(fields).map(([name, value]) => [
    name,
    typeof value === "string" ? shorten(value) : value,
  ]);
  // Ours behind: a field of the same name must not hide them. Their place in the object is the first all the same.
  const head = { time, level, event };
  return escapeControls(JSON.stringify({ ...head, ...Object.fromEntries(cut), ...head }));
}

function formatValue(value: Exclude<FieldValue, undefined>): string {
  if (typeof value !== "string") return String(value);
  const text = shorten(value);
  return /^[\w.:/@%+,[\]()*-]+$/.test(text) ? text : escapeControls(JSON.stringify(text));
}

function shorten(text: string): string {
  return text.length <= LONGEST_VALUE ? text : `${text.slice(0, LONGEST_VALUE)}…`;
}

/** What JSON leaves bare and a terminal obeys: DEL and C1 controls, line separators, marks that turn the direction. */
function escapeControls(text: string): string {
  return text.replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
