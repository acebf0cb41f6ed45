/** What a terminal obeys: C0 and C1 controls, DEL, line separators, marks that turn the direction. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]+/gu;

/**
 * The same with every text fit for a terminal: names, messages and answers are other programs' and other nodes'. For what
 * can be written as JSON.
 */
export function printable<T>(value: T): T {
  const clean = (_key: string, one: unknown) => (typeof one === "string" ? one.replace(CONTROLS, " ") : one);
  return JSON.parse(JSON.stringify(value), clean);
}
